"""Run kind `rl`: learn from reward, from a base model or a checkpoint.

inputs: `base` {path, model_id}; `task_app` (`elsewhere.py`), `vllm` (`generation.py`). `resume`
names the last complete checkpoint. How it is trained: `engine/train/rl.py`. The first games of each
group become traces, so every world that was trained on is in the run's rows; the games on
`evaluation.seeds` are measured and not kept.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config import RlConfig, load_json
from engine.config.rl_plan import RlPlan
from engine.errors import Cancelled, ConfigError
from engine.jobs.elsewhere import make_remote_games
from engine.jobs.generation import choose_gpus, open_sampler
from engine.jobs.job import Job
from engine.jobs.training import KEPT_CHECKPOINTS, announce_checkpoint, find_resume, prepare_threads
from engine.rollout.views import LiveViews
from engine.traces.codec import SUFFIX, encode_trace
from engine.traces.record import Trace

if TYPE_CHECKING:
    from engine.train.rl_remote import RemoteGames

WRITERS = 2  # packing long games takes a while; the others play on


class JobReporter:
    """Turns what the trainer says into events of the run."""

    def __init__(self, job: Job, plan: RlPlan) -> None:
        self.job, self.plan = job, plan
        self.views = LiveViews(self._show, plan.model)
        self.saved: list[Path] = []
        self.writer = ThreadPoolExecutor(WRITERS, thread_name_prefix="traces")

    def metric(self, step: int, values: dict[str, float], tokens: int) -> None:
        self.job.events.metric(step, values, tokens)

    def progress(self, done: int, total: int) -> None:
        self.job.progress(done, total, "iterations")

    def warn(self, message: str) -> None:
        self.job.events.log(message, "warning")

    async def store(self, trace: Trace) -> None:
        """Write the trace in a thread, then announce the episode."""
        key = trace.key
        self.views.end(key)
        if trace.summary.ended == "cancelled":
            return
        path = f"traces/{key.policy_version}-{key.seed}-{key.repeat}{SUFFIX}"
        file = await asyncio.get_running_loop().run_in_executor(
            self.writer,
            lambda: self.job.write_file(path, encode_trace(trace), durable=False),
        )
        self.job.events.write("episode", {"summary": trace.summary.to_json(), "payload": file})

    def checkpoint(self, folder: Path, step: int) -> None:
        """Announce a checkpoint that serves resume and drop those that no resume will want."""
        from engine.train.checkpoints import list_files

        announce_checkpoint(
            self.job,
            folder,
            list_files(folder),
            step,
            final=False,
            method=self.plan.method,
            metrics={},
            kind="rl",
        )
        self.saved.append(folder)
        for old in self.saved[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old, ignore_errors=True)

    def _show(self, data: Any) -> None:
        self.job.events.write("view", data)


def run(job: Job) -> dict[str, Any]:
    """Train, publish the checkpoint, return its figures.

    Raises Cancelled (the last checkpoint is kept), TrainingError, StorageError, ConfigError.
    """
    prepare_threads()
    from engine.train.policy import load_policy
    from engine.train.rl import RlTrainer

    plan, base = _plan(job), _base(job)
    resume, places = find_resume(job), choose_gpus(job, plan)
    policy = load_policy(Path(base["path"]), plan.method, plan.lora, resume, seed=plan.seed)
    n_trained = sum(p.numel() for p in policy.model.parameters() if p.requires_grad)
    job.events.log(
        f"{n_trained:,} trained parameters, method {plan.method}, {plan.variety}; an iteration is "
        f"{plan.episodes} games in groups of {plan.group_size}"
    )
    reporter, remote = JobReporter(job, plan), _remote(job, plan)
    folder = job.directory / "checkpoints"
    try:
        with open_sampler(job, plan, policy, Path(base["path"]), places) as sampler:
            trainer = RlTrainer(
                plan, policy, folder, reporter, reporter.views, job.cancelled, remote, sampler
            )
            if resume is not None:
                job.events.log(f"going on from checkpoint {resume.name}")
                trainer.resume(resume)
            outcome = trainer.train(resume)
    finally:
        reporter.writer.shutdown()
    if outcome.stopped == "cancelled":
        raise Cancelled(
            f"cancelled in iteration {outcome.iteration + 1}; what it had learned is kept"
        )
    _publish(job, plan, policy, outcome)
    told = {"iterations": outcome.iteration, "stopped": outcome.stopped, "tokens": outcome.tokens}
    return {**told, "train_seconds": round(outcome.seconds, 1), **outcome.metrics}


def _plan(job: Job) -> RlPlan:
    config = load_json(job.config).config
    if not isinstance(config, RlConfig):
        raise ConfigError("an rl run needs an rl config, found another kind")
    return config.plan()


def _remote(job: Job, plan: RlPlan) -> RemoteGames | None:
    """Where the games are played; None: here."""
    if not job.inputs.get("task_app"):
        return None
    run = f"{job.run or 'run'}-{job.attempt}"
    games = make_remote_games(job.inputs, plan, run=run, environment=os.environ)
    job.events.log(f"The games are played by the task app at {job.inputs['task_app']['url']}.")
    return games


def _base(job: Job) -> dict[str, Any]:
    base = job.inputs.get("base")
    if not isinstance(base, dict) or not Path(str(base.get("path", ""))).is_dir():
        raise ConfigError(f"the run's input 'base' is missing: found {base!r}, expected a path")
    return base


def _publish(job: Job, plan: RlPlan, policy: Any, outcome: Any) -> None:
    from engine.train.card import Card, write_final
    from engine.train.rl import describe

    base = _base(job)
    name = str(base.get("model_id") or plan.model)
    card = Card(
        title=f"Learned from reward, from {name}",
        base=name,
        data_sha256="",
        summary=f"{plan.variety.upper()}, {outcome.iteration} iterations of {plan.episodes} games.",
        config=describe(plan),
        metrics=outcome.metrics,
        weights=str(base.get("weights_model_id") or ""),
    )
    folder = job.directory / "checkpoint"
    files = write_final(policy.model, policy.tokenizer, folder, card)
    announce_checkpoint(
        job,
        folder,
        files,
        outcome.iteration,
        final=True,
        method=plan.method,
        metrics=outcome.metrics,
        kind="rl",
    )
