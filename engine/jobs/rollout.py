"""Run kinds `eval` and `rollout`: play the shard's episodes, announce each as it ends.

The two differ only in what is done with the games afterwards. Inputs: `policy` (see
`engine/rollout/policies.py`), and `task_app` where another's plays (`elsewhere.py`). How games are
played: `engine/rollout/`. Each episode's trace lies in `traces/SEED-REPEAT.swtrace`. What an
earlier attempt finished is not played again.
"""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from engine.config import Play, PlayConfig, load_json
from engine.errors import ConfigError, ProviderError, TaskError
from engine.events import FileData
from engine.jobs.elsewhere import make_remote_player
from engine.jobs.job import Job
from engine.llm.budget import RetryBudget
from engine.llm.types import Policy, Sampling
from engine.rollout.loop import Table, play_all, run_beside
from engine.rollout.opening import Opening
from engine.rollout.policies import make_policy
from engine.rollout.recording import EpisodeSpec, PlayerOptions
from engine.rollout.remote import RemotePlayer
from engine.rollout.report import Tally
from engine.rollout.views import LiveViews
from engine.tasks import get_task
from engine.traces.codec import SUFFIX, encode_trace
from engine.traces.record import Trace

CURVE_INTERVAL_S = 0.5
WRITERS = 2  # packing a long episode takes some ms; the others play on
SHORT_TURNS, SHORT_SIZE = 16, 2_000  # a thread would cost the others more than to pack that


def run(job: Job) -> dict[str, Any]:
    """Play what is missing of the shard and return its figures.

    Raises Cancelled (finished episodes are kept), ConfigError, StorageError; ProviderError or
    TaskError when not one of its episodes could be played.
    """
    return asyncio.run(PlayJob(job).run())


class PlayJob:
    """One shard being played. `opening` is where its games begin; None: in fresh worlds."""

    def __init__(self, job: Job, opening: Opening | None = None) -> None:
        config = load_json(job.config).config
        if not isinstance(config, PlayConfig):
            raise ConfigError(f"A run of kind {job.kind} needs a config that plays games.")
        self.job, self.play = job, config.play()
        self.task = get_task(self.play.task)
        self.opening = opening
        wanted = job.episodes or self.play.episodes
        self.total = len(wanted)
        self.specs = [EpisodeSpec(*pair) for pair in wanted if pair not in job.finished]
        self.done = self.total - len(self.specs)
        self.tally = Tally(self.task.achievements)
        self.writer = ThreadPoolExecutor(WRITERS, thread_name_prefix="traces")
        self.next_curve = 0.0
        self.budget = RetryBudget(self.play.limits.retries if job.retries is None else job.retries)
        self.n_retries_told = 0

    async def run(self) -> dict[str, Any]:
        """Play, then say what came out."""
        job, play = self.job, self.play
        views = LiveViews(lambda data: _ignore(job.events.write("view", data)), play.model)
        self.views = views
        table = self._table(views)
        job.progress(self.done, self.total, "episodes")
        try:
            async with run_beside(views.run):
                await play_all(
                    table,
                    self.specs,
                    self.store,
                    concurrency=play.concurrency,
                    cancelled=job.cancelled,
                )
        finally:
            await table.policy.close()
            self.writer.shutdown()
            self._curve(last=True)
            counts = {"retries": self.budget.used, "earlier": self._earlier()}
            job.values = {**self.tally.result(), **counts}
        job.cancelled.check()
        self._check_any_played()
        return job.values

    def _table(self, views: LiveViews) -> Table:
        """Who plays, by which rules: a policy here, or a remote task app with its own games."""
        job, play, task = self.job, self.play, self.task
        policy_input = job.inputs.get("policy") or {"kind": play.model}
        options = player_options(play, policy_input)
        rules = play.step_rewards.model_dump()
        rewards = (lambda: task.step_rewards(rules)) if play.step_rewards.enabled else None
        policy: Policy | RemotePlayer
        if job.inputs.get("task_app"):
            policy = make_remote_player(
                job.inputs,
                play,
                task,
                options,
                rewards,
                run=f"{job.run or 'run'}-{job.attempt}",
                environment=os.environ,
                budget=self.budget,
                n_episodes=len(self.specs),
            )
            job.events.log(f"The games are played by the task app at {policy.name}.")
        else:
            policy = make_policy(
                policy_input,
                task,
                environment=os.environ,
                budget=self.budget,
                concurrency=play.concurrency,
            )
            if play.task_app_url:
                words = f"task_app_url {play.task_app_url} is not called: it means this machine."
                job.events.log(words)
        return Table(task, policy, options, views, rewards, self.opening)

    async def store(self, trace: Trace) -> None:
        """Write the trace, a long one in a thread, then announce the episode.

        It is not forced to disk: the worker's copy is, and a torn file is a game to play again.
        """
        summary = trace.summary
        path = f"traces/{summary.seed}-{summary.repeat}{SUFFIX}"

        def write() -> FileData:
            return self.job.write_file(path, encode_trace(trace), durable=False)

        if _is_short(trace):
            file = write()
        else:
            file = await asyncio.get_running_loop().run_in_executor(self.writer, write)
        self.views.end(trace.key)
        data: dict[str, Any] = {"summary": summary.to_json(), "payload": file}
        if trace.verified is not None:
            data |= {"verified": trace.verified, "verify_note": trace.verify_note}
        self.job.events.write("episode", data)
        self.tally.add(summary)
        if summary.ended in ("model_error", "task_error"):
            words = f"Seed {summary.seed}, repeat {summary.repeat}: {summary.error}"
            self.job.events.log(words, "warning")
        if summary.ended != "cancelled":
            self.done += 1
        self._curve(last=False)

    def _curve(self, *, last: bool) -> None:
        """Progress and running means, at most twice a second."""
        now = time.monotonic()
        if now < self.next_curve and not last:
            return
        self.next_curve = now + CURVE_INTERVAL_S
        retried = self.budget.used - self.n_retries_told
        self.n_retries_told = self.budget.used
        self.job.progress(self.done, self.total, "episodes", retried=retried)
        if self.tally.summaries:
            self.job.events.metric(max(1, self.done), self.tally.curve(), self.tally.tokens)

    def _earlier(self) -> int:
        """Episodes of this shard that were finished before this attempt."""
        return self.total - len(self.specs)

    def _check_any_played(self) -> None:
        """Raise when every single episode broke: a run without a score did not succeed."""
        rows = self.tally.summaries
        broken = [row for row in rows if row.ended in ("model_error", "task_error")]
        if not rows or len(broken) < len(rows) or self._earlier():
            return
        kind = TaskError if broken[-1].ended == "task_error" else ProviderError
        raise kind(
            f"All {len(rows)} episodes broke; the last one: {broken[-1].error}",
            code=broken[-1].ended,
            retryable=False,  # each call was tried again; another attempt would find all played
            hint="Mend the provider or the task app, then retry the failed episodes.",
        )


def _is_short(trace: Trace) -> bool:
    """Whether a trace is packed within 1 ms: few turns, and few ids and words to pack of them."""
    size = sum(len(t.prompt_ids) + len(t.completion_ids) + len(t.content) for t in trace.turns)
    return len(trace.turns) <= SHORT_TURNS and size <= SHORT_SIZE


def player_options(play: Play, policy: dict[str, Any]) -> PlayerOptions:
    """The player's options of a config's flat view."""
    scripted = policy.get("kind") in ("random", "guide")
    return PlayerOptions(
        task_options=play.options,
        max_turns=play.max_turns,
        max_steps=play.max_steps,
        sampling=Sampling(play.temperature, play.top_p, play.max_tokens, extra=play.extra),
        use_tools=play.use_tools,
        seconds=play.limits.seconds,
        tokens=play.limits.tokens,
        cost_usd=play.limits.cost_usd,
        policy=policy["kind"] if scripted else str(policy.get("name") or play.provider or "model"),
        model="" if scripted else play.model,
        provider="" if scripted else play.provider,
    )


def _ignore(_: object) -> None:
    """An emitter gives nothing back."""
