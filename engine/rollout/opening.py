"""Where a branch begins: a stored episode, played again up to one of its steps.

Lives here: the part of a trace that a fork keeps, and the game that goes on from there. Not here:
what is played afterwards (`player.py`). The world's own randomness is part of its state, so all
branches of a step meet the same zombies; the policy's is keyed by seed, branch (repeat) and turn,
so branch i of one model and branch i of another are a pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.errors import ConfigError, TaskError
from engine.rollout.replay import compare_state, replay_step
from engine.tasks.base import Game, PastCall, Task
from engine.traces.record import Step, Trace, Turn


@dataclass(frozen=True)
class Opening:
    """The first steps of an episode, with the turns that made them; the last may be cut short.

    options: those of the world that was played, but for what the model reads.
    first_view, first_hash: of the fresh world. elapsed_ms: how long the kept turns took.
    """

    seed: int
    world_version: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    turns: tuple[Turn, ...] = ()
    steps: tuple[Step, ...] = ()
    first_view: bytes = b""
    first_hash: str = ""

    @property
    def past(self) -> list[PastCall]:
        """The kept calls, as the next prompt shows them."""
        return [PastCall(tuple(turn.actions[: turn.n_steps]), turn.error) for turn in self.turns]

    @property
    def elapsed_ms(self) -> float:
        """When the next turn begins, on the episode's own clock."""
        if not self.turns:
            return 0.0
        last = self.turns[-1]
        return last.started_ms + last.queue_ms + last.model_ms + last.env_ms

    def start(self, task: Task, options: Mapping[str, Any]) -> Game:
        """A game of its own at the step of the fork. Raises TaskError when the world differs."""
        game = task.new_game(self.seed, {**options, **self.options})
        if game.world_version != self.world_version:
            raise TaskError(
                f"The episode was played in {self.world_version}; this program plays "
                f"{game.world_version}, where the same actions lead elsewhere.",
                retryable=False,
            )
        reason = compare_state(game, self.first_hash, self.first_view)
        for index, step in enumerate(self.steps):
            reason = reason or replay_step(game, step)
            if reason:
                raise TaskError(
                    f"The episode cannot be played again up to this step: step {index}: {reason}.",
                    hint="Verify the trace: only one that plays the same again can be forked.",
                    retryable=False,
                )
        if game.ending():
            words = f"The game is over after step {len(self.steps)} ({game.ending()})."
            raise TaskError(words, hint="Fork at an earlier step.", retryable=False)
        return game


def open_at(trace: Trace, step: int) -> Opening:
    """What a fork after `step` steps (0: the fresh world) keeps of a trace.

    Raises ConfigError for a step that it does not have.
    """
    if not 0 <= step <= len(trace.steps):
        raise ConfigError(f"The episode has {len(trace.steps)} steps; there is no step {step}.")
    kept = [turn for turn in trace.turns if turn.first_step < step]
    return Opening(
        seed=trace.summary.seed,
        world_version=trace.summary.world_version,
        options={key: value for key, value in trace.options.items() if key != "observation"},
        turns=tuple(_cut(turn, trace.steps, step) for turn in kept),
        steps=tuple(trace.steps[:step]),
        first_view=trace.first_view,
        first_hash=trace.first_hash,
    )


def _cut(turn: Turn, steps: list[Step], end: int) -> Turn:
    """The turn with only those of its steps that lie before `end`."""
    if turn.first_step + turn.n_steps <= end:
        return turn
    kept = steps[turn.first_step : end]
    unlocked = [name for step in kept for name in step.unlocked]
    reward = sum(step.reward for step in kept)
    return replace(turn, n_steps=len(kept), unlocked=unlocked, reward=reward)
