"""One iteration's games: groups on fresh worlds, played by the weights as they are now.

Lives here: which worlds, playing them, what a decision is worth, and which decisions are trained
on. Not here: how much better one was than its group (`credit.py`), the training (`grpo.py`).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.config.rl_plan import RlPlan
from engine.errors import Cancelled
from engine.lease import Cancellation
from engine.llm.types import Sampling
from engine.rollout.loop import Table, play_all, run_beside
from engine.rollout.recording import EpisodeSpec, PlayerOptions
from engine.rollout.views import LiveViews
from engine.serve.recorder import recording
from engine.tasks import get_task
from engine.tasks.base import DecisionRewards, Task
from engine.traces.curation import left_out
from engine.traces.record import EpisodeKey, Step, Trace, Turn
from engine.train.grpo import Sample
from engine.train.rl_remote import RecordedPlayer, RemoteGames
from engine.train.samplers import Sampler, SamplingPolicy

Store = Callable[[Trace], Awaitable[None]]
Rewards = Callable[[], DecisionRewards]


class Parts(NamedTuple):
    """What one decision is worth, by where it comes from."""

    event: float  # achievements; in a task without them, the environment's own reward
    step: float  # the decision's reward ([step_rewards])
    bonus: float  # step_beta

    @property
    def total(self) -> float:
        return self.event + self.step + self.bonus


@dataclass
class Played:
    """Games by group, in the order of their seeds and repeats, and where the time went."""

    groups: list[list[Trace]] = field(default_factory=list)
    wall_s: float = 0.0
    generate_s: float = 0.0
    n_tokens: int = 0
    n_unmatched: int = 0  # turns told by a task app that were not sampled here

    @property
    def traces(self) -> list[Trace]:
        return [trace for group in self.groups for trace in group]


class _Shown:
    """Hands on the first game of each group: it is kept, so what the wall shows can be looked at
    later, and the others, on the same world, would cost ten times the bytes of their traces."""

    def __init__(self, watcher: LiveViews) -> None:
        self.watcher = watcher

    def begin(self, key: EpisodeKey, view: bytes, steps: Sequence[Step] = ()) -> None:
        if not key.repeat:
            self.watcher.begin(key, view, steps)

    def turn(self, key: EpisodeKey, turn: Turn, steps: Sequence[Step]) -> None:
        if not key.repeat:
            self.watcher.turn(key, turn, steps)


class Player:
    """Plays for one training."""

    def __init__(
        self,
        plan: RlPlan,
        sampler: Sampler,
        views: LiveViews,
        cancelled: Cancellation,
        remote: RemoteGames | None = None,
    ) -> None:
        self.plan, self.sampler = plan, sampler
        self.remote = remote  # None: games are played here
        self.task: Task = get_task(plan.task)
        self.views, self.cancelled = views, cancelled

    def play(self, iteration: int, store: Store) -> Played:
        """The games of an iteration (from 1); `store` gets those that are kept as they end."""
        plan = self.plan
        seeds = training_seeds(plan, iteration)
        specs = [EpisodeSpec(s, r, iteration) for s in seeds for r in range(plan.group_size)]

        async def keep(trace: Trace) -> None:
            if trace.summary.repeat < plan.stored_per_group:
                await store(trace)

        return self._round(iteration, specs, f"{plan.seed}:{iteration}", keep)

    def evaluate(self, iteration: int = 0) -> Played:
        """One game on each held-out world, always with the same dice; nothing is kept.

        iteration: the one whose weights are measured, those before it has learned.
        """

        async def forget(_: Trace) -> None: ...

        specs = [EpisodeSpec(seed) for seed in self.plan.evaluation_seeds]
        return self._round(iteration, specs, "evaluation", forget, held_out=True)

    def _round(
        self,
        iteration: int,
        specs: list[EpisodeSpec],
        salt: str,
        store: Store,
        *,
        held_out: bool = False,
    ) -> Played:
        """Games by weights that the sampler has; none when cancelled before they are there."""
        try:
            self.sampler.ready(iteration, now=held_out)
            played = asyncio.run(self._play(specs, salt, store, held_out=held_out))
            self.sampler.rest()
        except Cancelled:
            return Played()
        return played

    async def _play(
        self,
        specs: list[EpisodeSpec],
        salt: str,
        store: Store,
        *,
        held_out: bool = False,
    ) -> Played:
        plan, started = self.plan, time.perf_counter()
        lockstep = plan.lockstep and self.remote is None
        policy = self.sampler.policy(salt=salt, n_games=len(specs), lockstep=lockstep)
        ended: dict[EpisodeSpec, Trace] = {}

        async def on_trace(trace: Trace) -> None:
            policy.leave()
            ended[EpisodeSpec(*trace.key[2:])] = trace
            await store(trace)

        rules = plan.step_rewards.model_dump()
        rewards = (lambda: self.task.step_rewards(rules)) if plan.step_rewards.enabled else None
        options = self._options(held_out=held_out)
        watcher = None if held_out else _Shown(self.views)
        n_at_once = len(specs) if lockstep else plan.concurrency
        async with (
            _closing(policy),
            run_beside(policy.run, self.views.run),
            self._seat(policy, options, rewards) as player,
        ):
            table = Table(self.task, player, options, watcher, rewards)
            await play_all(table, specs, on_trace, concurrency=n_at_once, cancelled=self.cancelled)
        groups = itertools.groupby(
            (ended[spec] for spec in specs if spec in ended), key=lambda t: t.summary.seed
        )
        wall_s = time.perf_counter() - started
        n_unmatched = player.n_unmatched if isinstance(player, RecordedPlayer) else 0
        played = [list(group) for _, group in groups]
        return Played(played, wall_s, policy.generate_s, policy.n_tokens, n_unmatched)

    @asynccontextmanager
    async def _seat(
        self, policy: SamplingPolicy, options: PlayerOptions, rewards: Rewards | None
    ) -> AsyncIterator[SamplingPolicy | RecordedPlayer]:
        """Who plays: the policy in games of ours, or a task app that asks it over HTTP."""
        if self.remote is None:
            yield policy
            return
        async with recording(policy, options.sampling, self.remote.port) as recorder:
            player = RecordedPlayer(self.task, options, self.remote, recorder, rewards)
            try:
                yield player
            finally:
                await player.close()
            if not self.cancelled.is_set():
                player.check()

    def _options(self, *, held_out: bool) -> PlayerOptions:
        plan = self.plan
        return PlayerOptions(
            task_options=plan.evaluation_options if held_out else plan.options,
            max_turns=plan.max_turns,
            max_steps=plan.max_steps,
            sampling=Sampling(plan.temperature, plan.top_p, plan.max_tokens),
            policy="training",
            model=plan.model,
        )


@asynccontextmanager
async def _closing(policy: SamplingPolicy) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await policy.close()


def training_seeds(plan: RlPlan, iteration: int) -> list[int]:
    """The worlds of an iteration (from 1): never seen before, none of them held out."""
    n_groups = plan.episodes // plan.group_size
    held_out = set(plan.evaluation_seeds) if plan.options == plan.evaluation_options else set()
    fresh = (seed for seed in itertools.count(plan.seed_start) if seed not in held_out)
    return list(itertools.islice(fresh, (iteration - 1) * n_groups, iteration * n_groups))


def reward_parts(plan: RlPlan, trace: Trace) -> list[Parts]:
    """What each turn of a game is worth."""
    scored_by_achievements = bool(get_task(plan.task).achievements)
    rules = plan.step_rewards
    parts = []
    for turn in trace.turns:
        names = turn.achieved if plan.absolute_events else turn.unlocked
        event = float(len(names)) if scored_by_achievements else turn.reward
        step = turn.step_reward if rules.enabled and scored_by_achievements else 0.0
        parts.append(Parts(event, step, rules.step_beta if rules.enabled else 0.0))
    return parts


def trained_turns(plan: RlPlan, trace: Trace) -> list[bool]:
    """Which turns of a game are trained on: not the cut-off ones, none of a broken game."""
    ended, masks = trace.summary.ended, plan.loss.mask_truncated
    return [
        bool(turn.completion_ids) and not (masks and left_out(ended, turn.finish_reason))
        for turn in trace.turns
    ]


def make_samples(
    plan: RlPlan, groups: Sequence[Sequence[Trace]], advantages: Sequence[Sequence[list[float]]]
) -> list[Sample]:
    """The turns that teach something; those of dropped groups and without advantage do not."""
    samples = []
    for traces, of_group in zip(groups, advantages, strict=True):
        for trace, of_game in zip(traces, of_group or [[]] * len(traces), strict=True):
            usable = trained_turns(plan, trace)
            for turn, advantage, use in zip(trace.turns, of_game, usable, strict=False):
                if use and advantage:
                    name = (
                        f"seed {trace.summary.seed} game {trace.summary.repeat} turn {turn.index}"
                    )
                    ids = (turn.prompt_ids, turn.completion_ids, turn.logprobs)
                    samples.append(Sample(*ids, advantage, name))
    return samples
