"""Plays a stored episode again, without its model, and compares every step.

Lives here: the check that a trace is what it says. Not here: drawing it (its views are enough).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from engine.errors import EngineError
from engine.tasks.base import Game, Task
from engine.traces.record import Step, Trace


class ReplayReport(NamedTuple):
    """ok: every step came out the same. first_bad_step: its index, None for the fresh world."""

    ok: bool
    first_bad_step: int | None
    reason: str
    n_steps: int

    def to_json(self) -> dict[str, Any]:
        return self._asdict()


def replay(trace: Trace, task: Task) -> ReplayReport:
    """Simulate the trace in a fresh world; stops at the first step that differs.

    Compared are view, state hash, reward and unlocked achievements of each step. Never raises for
    a trace that does not match, however odd: the report says what is wrong with it.
    """
    n_steps = len(trace.steps)
    try:
        game = task.new_game(trace.summary.seed, trace.options)
    except EngineError as err:
        return ReplayReport(False, None, f"its world cannot be made: {err}", n_steps)
    if trace.summary.world_version != game.world_version:
        found, ours = trace.summary.world_version, game.world_version
        return ReplayReport(
            False, None, f"it was played in {found}; this program plays {ours}", n_steps
        )
    reason = compare_state(game, trace.first_hash, trace.first_view)
    if reason:
        return ReplayReport(False, None, f"the fresh world differs: {reason}", n_steps)
    for index, step in enumerate(trace.steps):
        reason = replay_step(game, step)
        if reason:
            return ReplayReport(False, index, f"step {index} ({step.action}): {reason}", n_steps)
    if n_steps and trace.steps[-1].state_hash != trace.summary.final_hash:
        return ReplayReport(False, n_steps - 1, "its summary names another last state", n_steps)
    return ReplayReport(True, None, "", n_steps)


def replay_step(game: Game, step: Step) -> str:
    """Play this step again; what differs from the trace, "" when nothing does."""
    try:
        result = game.step(step.action)
    except EngineError as err:
        return f"it cannot be played: {err}"
    if abs(result.reward - step.reward) > 1e-9:
        return f"reward {result.reward}, the trace says {step.reward}"
    if tuple(result.unlocked) != tuple(step.unlocked):
        return f"unlocked {list(result.unlocked)}, the trace says {list(step.unlocked)}"
    return compare_state(game, step.state_hash, step.view)


def compare_state(game: Game, state_hash: str, view: bytes) -> str:
    """How the game's state differs from what was stored; "" when it does not."""
    found = game.state_hash()
    if found != state_hash:
        return f"state {found}, the trace says {state_hash}"
    return "" if game.view() == view else "the state is the same, its view is not"
