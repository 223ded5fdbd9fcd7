"""A trace's file read in pieces: as much of it as a page, a chart or an export needs.

Lives here: sections -> steps, turns, summary. Not here: the whole (`codec.py`), the file's layout
and the care with which it is read (`sections.py`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from engine.traces.record import EpisodeSummary, Step, Turn
from engine.traces.sections import (
    build,
    load_list,
    load_object,
    odd,
    packed_section,
    read_section,
    read_table,
)

TOKEN_FIELDS = ("prompt_ids", "completion_ids", "logprobs", "pieces")  # older traces: three
_STEP_FIELDS = ("turn", "action", "reward", "state_hash", "unlocked", "view")


class Moment(NamedTuple):
    """Where a game stands after some steps: the turn that made the last one, and the picture."""

    turn: int
    view: bytes


class StepColumns(NamedTuple):
    """All steps of a game as a screen needs them. The views stay packed (zlib), one behind the
    other, the fresh world's first; `sizes` are their bytes."""

    turns: list[int]
    actions: list[str]
    unlocked: list[list[str]]
    sizes: list[int]
    views: bytes


class StepsPart(NamedTuple):
    """What replay and drawing need: no prompt, no answer."""

    options: dict[str, Any]
    first_view: bytes
    first_hash: str
    steps: list[Step]


class TurnsPart(NamedTuple):
    """Some turns of a game of `n_turns`, from number `first` on, without their prompts."""

    n_turns: int
    first: int
    turns: list[Turn]


def read_origin(data: bytes) -> dict[str, Any] | None:
    """The rows of tracing v3 that the trace was imported from; None for a game of our own."""
    if not any(name == "origin" for name, *_ in read_table(data)):
        return None
    return load_object(data, "origin")


def read_summary(data: bytes) -> EpisodeSummary:
    """Only the summary: a few hundred bytes are unpacked."""
    return build(EpisodeSummary, load_object(data, "head").get("summary"), "summary")


def read_steps(data: bytes) -> StepsPart:
    """Actions, rewards, views and hashes without unpacking any prompt."""
    head = load_object(data, "head")
    columns = load_object(data, "steps")
    views = _split(read_section(data, "views"), columns.get("view_sizes"))
    rows = [columns.get(name) for name in ("turn", "action", "reward", "hash", "unlocked")]
    if not all(isinstance(row, list) and len(row) == len(views) - 1 for row in rows):
        raise odd("its step columns differ in length")
    steps = [
        build(Step, dict(zip(_STEP_FIELDS, (*row, view), strict=True)), f"step {index}")
        for index, (*row, view) in enumerate(zip(*rows, views[1:], strict=True))  # type: ignore[arg-type]
    ]
    options = build(dict[str, Any], head.get("options"), "options")
    first_hash = build(str, head.get("first_hash"), "first_hash")
    return StepsPart(options, views[0], first_hash, steps)


def read_moment(data: bytes, step: int) -> Moment:
    """The moment after `step` steps (0: the fresh world; beyond the end: the end)."""
    columns = load_object(data, "steps")
    views = _split(read_section(data, "views"), columns.get("view_sizes"))
    turns = build(list[int], columns.get("turn"), "turns of its steps")
    if len(turns) != len(views) - 1:
        raise odd("its step columns differ in length")
    at = max(0, min(step, len(turns)))
    return Moment(turns[at - 1] if at else 0, views[at])


def read_columns(data: bytes) -> StepColumns:
    """The steps without building any: their views were unpacked to see that they are whole."""
    columns = load_object(data, "steps")
    sizes = build(list[int], columns.get("view_sizes"), "view_sizes")
    n_steps = len(_split(read_section(data, "views"), sizes)) - 1
    turns = build(list[int], columns.get("turn"), "turns of its steps")
    actions = build(list[str], columns.get("action"), "actions")
    unlocked = build(list[list[str]], columns.get("unlocked"), "unlocks")
    if {len(turns), len(actions), len(unlocked)} != {n_steps}:
        raise odd("its step columns differ in length")
    views = packed_section(data, "views")
    return StepColumns(turns, actions, unlocked, sizes, views)


def read_turns(data: bytes) -> list[Turn]:
    """The model calls with their prompts and tokens."""
    columns = _turn_columns(data)
    return [columns.build(index) for index in range(len(columns.rows))]


def read_turn(data: bytes, index: int) -> Turn | None:
    """One model call with its prompt and tokens; None when there is none of this index."""
    columns = _turn_columns(data)
    return columns.build(index) if 0 <= index < len(columns.rows) else None


def read_turn_page(data: bytes, turn: int, size: int) -> TurnsPart:
    """The page of `size` turns that holds `turn` (the last page for a turn beyond the end).

    Prompts and tokens stay packed and are empty lists; the other turns are not built.
    """
    rows = load_list(data, "turns")
    first = max(0, min(turn, len(rows) - 1)) // size * size
    page = _Turns(rows, None, None)
    shown = range(len(rows))[first : first + size]
    return TurnsPart(len(rows), first, [page.build(index) for index in shown])


class _Turns(NamedTuple):
    """The columns of all turns; None for those that are left out."""

    rows: list[Any]
    tokens: list[Any] | None
    pool: list[Any] | None

    def build(self, index: int) -> Turn:
        row = build(dict[str, Any], self.rows[index], f"turn {index}")
        links = row.pop("message_links", [])
        row["messages"] = [] if self.pool is None else _follow(links, self.pool, index)
        if self.tokens is not None:
            ids = build(list[list[Any]], self.tokens[index], f"the tokens of turn {index}")
            row.update(zip(TOKEN_FIELDS, ids, strict=False))
        return build(Turn, row, f"turn {index}")


def _turn_columns(data: bytes) -> _Turns:
    columns = _Turns(*(load_list(data, name) for name in ("turns", "tokens", "messages")))
    if len(columns.tokens or ()) != len(columns.rows):
        raise odd("its turns and tokens differ in number")
    return columns


def _follow(links: Any, pool: list[Any], index: int) -> list[Any]:
    valid = (
        isinstance(pool, list)
        and isinstance(links, list)
        and all(isinstance(link, int) and 0 <= link < len(pool) for link in links)
    )
    if not valid:
        raise odd(f"turn {index} names a message that is not there")
    return [pool[link] for link in links]


def _split(blob: bytes, sizes: Any) -> list[bytes]:
    counts = build(list[int], sizes, "view_sizes")
    if not counts or min(counts) < 0 or sum(counts) != len(blob):
        raise odd("its views do not have the announced sizes")
    views, start = [], 0
    for size in counts:
        views.append(blob[start : start + size])
        start += size
    return views
