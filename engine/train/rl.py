"""Reinforcement learning from a task's rewards: play groups of games, strengthen what did better.

Algorithm: GRPO or GSPO over many turns. An iteration plays `episodes` games in groups that share a
world, gives every decision its advantage (`credit.py`) and takes a few optimiser steps on the ids
that were sampled (`grpo.py`); the next iteration plays fresh worlds with the new weights. A row of
a batch is one turn, so a game's length costs nothing twice.
All randomness is keyed by (seed, iteration, world, game, turn), so a checkpoint holds weights and
optimiser only; with `lockstep` a resumed training equals an uninterrupted one.
Ours instead of TRL's GRPOTrainer: that has one reward and one sequence an episode; rows by the turn
need a private method of it. Its loss is the same (tests/engine/train/test_grpo.py).
By hand: `python -m engine RUN_DIR` with a config of kind `rl`.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from engine.config.rl_plan import RlPlan
from engine.errors import TrainingError
from engine.lease import Cancellation
from engine.rollout.views import LiveViews
from engine.traces.record import Trace
from engine.train.checkpoints import newest_checkpoint, publish_folder, what_is_left
from engine.train.credit import assign, shuffled
from engine.train.diagnostics import Diagnostics
from engine.train.grpo import Learner, Options
from engine.train.policy import TrainedPolicy
from engine.train.rl_figures import evaluation_figures, game_figures, time_figures
from engine.train.rl_play import Played, Player, make_samples, reward_parts
from engine.train.rl_remote import RemoteGames
from engine.train.samplers import OwnSampler, Sampler
from engine.train.schedule import Clock

STATE_FILE = "trainer_state.json"


class Reporter(Protocol):
    """Where a training tells how it goes."""

    def metric(self, step: int, values: dict[str, float], tokens: int) -> None: ...

    def progress(self, done: int, total: int) -> None: ...

    def warn(self, message: str) -> None: ...

    async def store(self, trace: Trace) -> None: ...

    def checkpoint(self, folder: Path, step: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training ended: `stopped` is "done", "time" or "cancelled"; figures are the last."""

    iteration: int
    stopped: str
    tokens: int
    seconds: float
    metrics: dict[str, float]


class RlTrainer:
    """One training, from its first iteration or from a checkpoint of its own."""

    def __init__(
        self,
        plan: RlPlan,
        policy: TrainedPolicy,
        folder: Path,
        reporter: Reporter,
        views: LiveViews,
        cancelled: Cancellation,
        remote: RemoteGames | None = None,
        sampler: Sampler | None = None,
    ) -> None:
        self.plan, self.policy, self.folder, self.reporter = plan, policy, folder, reporter
        self.cancelled = cancelled
        self.sampler: Sampler = sampler or OwnSampler(policy)
        self.player = Player(plan, self.sampler, views, cancelled, remote)
        self.learner = Learner(policy.model, int(policy.tokenizer.pad_token_id), _options(plan))
        self.clock = Clock(plan.max_seconds)
        self.diagnostics = Diagnostics()
        self.iteration = 0  # finished ones
        self.metrics: dict[str, float] = {}
        self._saved = (0, time.monotonic())  # iteration and time of the newest checkpoint
        self._resumed: Path | None = None

    def resume(self, checkpoint: Path) -> None:
        """Go on behind a checkpoint; the policy was loaded from it already."""
        state = json.loads((checkpoint / STATE_FILE).read_text())
        self.iteration = int(state["iteration"])
        self.diagnostics = Diagnostics(state["history"])
        self.learner.load(checkpoint)
        self._saved, self._resumed = (self.iteration, time.monotonic()), checkpoint

    def train(self, resumed: Path | None = None) -> Outcome:
        """All iterations that are left. Raises TrainingError for a broken loss (R21)."""
        self.clock.start(resumed)
        self.policy.model.eval()
        stopped = "done"
        self._progress()
        while self.iteration < self.plan.iterations:
            if self.clock.time_share >= 1.0:
                stopped = "time"
                break
            if not self._iterate():
                stopped = "cancelled"
                break
        if self.iteration > self._saved[0]:
            self._save()
        if stopped != "cancelled":
            self._progress(ended=True)
            self._last_evaluation()
        return Outcome(
            self.iteration, stopped, self.clock.tokens, self.clock.elapsed_s, self.metrics
        )

    def _iterate(self) -> bool:
        """One iteration; False when it was cut off and nothing was learned from it."""
        number = self.iteration + 1
        values = self._evaluate() if self.iteration % self.plan.evaluate_every == 0 else {}
        played = self.player.play(number, self.reporter.store)
        if self.cancelled.is_set():
            return False
        values |= self.sampler.check([turn for trace in played.traces for turn in trace.turns])
        values |= self._learn(number, played)
        self.iteration = number
        self.metrics |= values
        if number % self.plan.log_interval == 0 or values.keys() & {"eval.reward"}:
            self.reporter.metric(number, values, self.clock.tokens)
        if played.n_unmatched:
            self.reporter.warn(
                f"iteration {number}: {played.n_unmatched} turns that the task app told are not "
                "what was sampled; they are not trained on"
            )
        for finding in self.diagnostics.look(values):
            self.reporter.warn(f"iteration {number}: {finding}")
        self._progress()
        if number == 1 or time.monotonic() - self._saved[1] >= self.plan.save_seconds:
            self._save()
        return True

    def _learn(self, number: int, played: Played) -> dict[str, float]:
        """Credit, update, figures."""
        plan, started = self.plan, time.perf_counter()
        parts = [[reward_parts(plan, trace) for trace in group] for group in played.groups]
        rewards = [[[p.total for p in game] for game in group] for group in parts]
        loss = plan.loss
        if loss.shuffled:
            rewards = shuffled(rewards, _number(plan.seed, number))
        credit = assign(rewards, credit=loss.credit, gamma=loss.gamma, normalise=loss.normalise)
        samples = make_samples(plan, played.groups, credit.advantages)
        rate = self._rate(number)
        try:
            figures = self.learner.update(samples, rate=rate, seed=_number(plan.seed, number))
        except TrainingError as err:
            left = what_is_left(newest_checkpoint(self.folder) or self._resumed)
            hint = f"{left} {err.hint}"
            raise TrainingError(f"iteration {number}, {err}", hint=hint, code=err.code) from err
        n_trained = sum(len(s.prompt_ids) + len(s.completion_ids) for s in samples)
        self.clock.tokens += played.n_tokens + n_trained * plan.loss.updates
        return {
            **game_figures(
                played.traces, [g for group in parts for g in group], self.player.task.achievements
            ),
            **{f"train.{name}": value for name, value in figures.items()},
            "train.learning_rate": rate,
            "train.turns": len(samples),
            "groups.dead": credit.n_dead,
            "groups.dead_share": credit.n_dead / max(len(played.groups), 1),
            **time_figures(
                wall_s=played.wall_s,
                generate_s=played.generate_s,
                train_s=time.perf_counter() - started,
                sync_s=self._sync_s(),
                n_tokens=played.n_tokens,
                n_trained=n_trained * plan.loss.updates,
            ),
        }

    def _sync_s(self) -> float:
        """Seconds that handing weights over took since the last time this was asked."""
        spent, self.sampler.sync_s = self.sampler.sync_s, 0.0
        return spent

    def _rate(self, number: int) -> float:
        """The learning rate of an iteration: up within the warm-up, then evenly down to the end."""
        plan = self.plan
        if number <= plan.warmup_iterations:
            return plan.learning_rate * number / (plan.warmup_iterations + 1)
        share = max((number - 1) / plan.iterations, self.clock.time_share)
        return plan.learning_rate * (1.0 - (1.0 - plan.final_rate) * share)

    def _evaluate(self) -> dict[str, float]:
        if not self.plan.evaluation_seeds:
            return {}
        return evaluation_figures(self.player.evaluate(self.iteration + 1).traces)

    def _last_evaluation(self) -> None:
        """The finished weights on the held-out worlds, shown at the iteration that would follow."""
        values = self._evaluate()
        if values and not self.cancelled.is_set():
            self.metrics |= values
            self.reporter.metric(self.iteration + 1, values, self.clock.tokens)

    def _progress(self, *, ended: bool = False) -> None:
        """Iterations to expect: fewer than planned when the time will run out first."""
        share, total = self.clock.time_share, self.plan.iterations
        if ended:
            total = self.iteration
        elif self.iteration and share > 0.01:
            total = max(self.iteration, min(total, round(self.iteration / share)))
        self.reporter.progress(self.iteration, total)

    def _save(self) -> None:
        """A checkpoint that serves resume: staged, then named at once."""
        staged = self.folder / ".staged" / f"step-{self.iteration}"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        self.policy.model.save_pretrained(staged)
        self.policy.tokenizer.save_pretrained(staged)
        self.learner.save(staged)
        self.clock.save(staged)
        state = {"iteration": self.iteration, "history": self.diagnostics.history}
        (staged / STATE_FILE).write_text(json.dumps(state))
        target = self.folder / f"step-{self.iteration}"
        publish_folder(staged, target)
        self._saved = (self.iteration, time.monotonic())
        self.reporter.checkpoint(target, self.iteration)


def describe(plan: RlPlan) -> dict[str, Any]:
    """The plan for a model card, JSON-ready."""
    values = asdict(plan)
    for name in ("lora", "loss", "step_rewards"):
        values[name] = getattr(plan, name).model_dump(mode="json")
    return values


def _options(plan: RlPlan) -> Options:
    return Options(
        variety=plan.variety,
        clip=plan.clip,
        kl_beta=plan.loss.kl_beta,
        temperature=plan.temperature,
        updates=plan.loss.updates,
        micro_batch=plan.micro_batch,
        accumulate=plan.accumulate,
        learning_rate=plan.learning_rate,
    )


def _number(seed: int, iteration: int) -> int:
    return (seed * 1_000_003 + iteration) % 2**63
