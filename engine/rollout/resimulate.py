"""Plays an imported game again in our own world and compares it with what was recorded.

Lives here: the comparison, and the pictures that it gives. Not here: reading the game
(`engine/traces/v3`), checking our own traces (`replay.py`).

Tracing v3 has no pictures and no state hashes. Our world is the same in every process, so seed and
actions give them back, if the game was played by the same rules. That is known only from what was
recorded: state hashes (our own exports), else position, health and inventory after every turn and
what was unlocked in it. A game that comes out otherwise keeps its recorded text, without pictures.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.errors import EngineError, ReplyError
from engine.tasks import canonical_name, get_task
from engine.tasks.base import Game, Task
from engine.traces.record import Step, Trace, Turn
from engine.traces.v3.meaning import NO_SEED
from engine.traces.v3.session import Session, load_object, loads

_POSITION = re.compile(r"^Position: \[(-?\d+), (-?\d+)\]", re.M)
_INVENTORY = re.compile(r"^Inventory: (.+)$", re.M)
_HEALTH = re.compile(r"^Health: (\d+)", re.M)


class Verdict(NamedTuple):
    """verified: it came out as recorded. note: how that was seen, or why not."""

    verified: bool
    note: str


@dataclass
class _Played:
    """What the new game gave."""

    first_view: bytes
    first_hash: str
    steps: list[Step] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)  # steps of each turn


def resimulate(trace: Trace, session: Session) -> Verdict:
    """Fill in views, hashes and steps of an imported trace; in place, only when all agrees."""
    summary = trace.summary
    try:
        summary.task = canonical_name(summary.task)
        task = get_task(summary.task)
    except EngineError:
        return Verdict(False, f"there is no task app {summary.task} here")
    if summary.seed == NO_SEED:
        return Verdict(False, "no seed was recorded")
    try:
        game = task.new_game(summary.seed, trace.options)
        played = _Played(game.view(), game.state_hash())
        reason = _play(trace, task, game, recorded_texts(session), played)
    except EngineError as err:
        return Verdict(False, f"it cannot be played again: {err}")
    if reason:
        return Verdict(False, reason)
    hashed = bool(trace.steps) and all(step.state_hash for step in trace.steps)
    _take(trace, task, played)
    what = "state hashes" if hashed else "positions, inventories and achievements"
    return Verdict(True, f"re-simulated {len(trace.steps)} steps: the same {what} as recorded")


def recorded_texts(session: Session) -> dict[int, str]:
    """What was seen after each turn, by its index, where it was recorded."""
    found: dict[int, str] = {}
    links = {row.get("timestep_id"): row for row in session.rows("events")
             if row["event_type"] == "environment"}  # fmt: skip
    calls = [row for row in session.rows("events") if row["event_type"] == "cais"]
    for index, call in enumerate(calls):
        answer = links.get(call.get("timestep_id"))
        text = load_object(answer.get("system_state_after")).get("text") if answer else None
        if isinstance(text, str):
            found[index] = text
    return found


def _play(trace: Trace, task: Task, game: Game, texts: Mapping[int, str], played: _Played) -> str:
    """Play every turn; "" when all came out as recorded, else the first difference."""
    if trace.first_hash and trace.first_hash != played.first_hash:
        return "the fresh world is another one than was recorded"
    n_compared = 0
    for turn in trace.turns:
        recorded = trace.steps[turn.first_step : turn.first_step + turn.n_steps]
        unlocked = set[str]()
        for action in _actions(task, turn, recorded):
            if game.ending():
                break
            result = game.step(action)
            unlocked.update(result.unlocked)
            played.steps.append(
                Step(turn.index, str(action), result.reward, game.view(), game.state_hash(),
                     tuple(result.unlocked))
            )  # fmt: skip
        played.counts[turn.index] = len(played.steps) - sum(played.counts.values())
        n_compared += bool(recorded)
        reason = _compare(trace, turn, recorded, played, unlocked) or differs(
            texts.get(turn.index, ""), game.details()
        )
        if reason:
            return f"turn {turn.index}: {reason}"
    return "" if n_compared else "nothing was recorded that could be compared"


def _actions(task: Task, turn: Turn, recorded: Sequence[Step]) -> list[Any]:
    """What was played: as recorded by us, else the task's own reading of the call."""
    if not recorded:
        return []
    if recorded[0].state_hash:
        return [step.action for step in recorded]
    if len(turn.raw_calls) == 1:
        arguments = loads(turn.raw_calls[0]["arguments"])
        if isinstance(arguments, dict):
            try:
                return task.read_call(turn.raw_calls[0]["name"], arguments)
            except ReplyError:
                pass  # another name for the tool: its actions are known all the same
    return list(turn.actions)


def _compare(
    trace: Trace, turn: Turn, recorded: Sequence[Step], played: _Played, unlocked: set[str]
) -> str:
    """Whether achievements, and hashes where there are any, are those that were recorded."""
    if unlocked != set(turn.unlocked):
        said = ", ".join(sorted(turn.unlocked)) or "nothing"
        found = ", ".join(sorted(unlocked)) or "nothing"
        return f"{said} unlocked as recorded, {found} when played again"
    now = [step for step in played.steps if step.turn == turn.index]
    for old, new in zip(recorded, now, strict=False):
        if old.state_hash and old.state_hash != new.state_hash:
            return f"state {old.state_hash} as recorded, {new.state_hash} when played again"
    return ""


def differs(text: str, details: Mapping[str, Any]) -> str:
    """Whether the recorded observation says another position, health or inventory."""
    position = _POSITION.search(text)
    if position and [int(n) for n in position.groups()] != list(details.get("position", [])):
        return f"at {position[0][10:]} as recorded, at {details.get('position')} when played again"
    inventory = details.get("inventory", {})
    health = _HEALTH.search(text)
    if health and int(health[1]) != inventory.get("health"):
        return f"health {health[1]} as recorded, {inventory.get('health')} when played again"
    held = _INVENTORY.search(text)
    for item in held[1].split(", ") if held else ():
        name, _, count = item.partition(":")
        if count.isdigit() and inventory.get(name, 0) != int(count):
            return f"{name} {count} as recorded, {inventory.get(name, 0)} when played again"
    return ""


def _take(trace: Trace, task: Task, played: _Played) -> None:
    """Put the new game's steps into the trace; rewards of turns stay as recorded."""
    summary = trace.summary
    trace.first_view, trace.first_hash = played.first_view, played.first_hash
    trace.steps = played.steps
    start = 0
    for turn, row in zip(trace.turns, summary.turns, strict=True):
        turn.first_step, turn.n_steps = start, played.counts[turn.index]
        row["n_steps"] = turn.n_steps
        start += turn.n_steps
    summary.world_version = task.world_version
    summary.n_steps = len(played.steps)
    summary.final_hash = played.steps[-1].state_hash if played.steps else played.first_hash
    view = played.steps[-1].view if played.steps else played.first_view
    summary.final_view = base64.b64encode(view).decode()
    summary.unlocks = [
        {"name": name, "step": index, "turn": step.turn}
        for index, step in enumerate(played.steps)
        for name in step.unlocked
    ]
