"""The file form of a trace: compact, lossless, readable in pieces, safe to read from strangers.

Lives here: `Trace` <-> bytes. Not here: the record itself (`record.py`), the layout of the file
(`sections.py`), reading some of it (`pieces.py`), tracing v3, storage.

The sections `head`, `steps`, `turns`, `messages` and `tokens` are JSON; `views` are the views one
behind the other (their sizes stand in `steps`). An imported trace also has `origin`, the rows of
tracing v3 that it was made of. Messages repeat from turn to turn (the system prompt), so each
distinct one is stored once.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from engine.traces.pieces import TOKEN_FIELDS, read_origin, read_steps, read_turns
from engine.traces.record import EpisodeSummary, Trace, Turn
from engine.traces.sections import build, join_sections, load_object, read_table

SUFFIX = ".swtrace"
_TURN_FIELDS = tuple(
    f.name for f in fields(Turn) if f.name not in TOKEN_FIELDS and f.name != "messages"
)


def encode_trace(trace: Trace) -> bytes:
    """Pack a trace; `decode_trace` gives back an equal one."""
    messages, turns = _turns_to_json(trace.turns)
    head = {
        "summary": trace.summary.to_json(),
        "options": trace.options,
        "tools": trace.tools,
        "first_hash": trace.first_hash,
    }
    tokens = [[getattr(turn, name) for name in TOKEN_FIELDS] for turn in trace.turns]
    plain = {
        "head": _dump(head),
        "steps": _dump(_steps_to_json(trace)),
        "views": trace.first_view + b"".join(step.view for step in trace.steps),
        "turns": _dump(turns),
        "messages": _dump(messages),
        "tokens": _dump(tokens),
    }
    if trace.origin is not None:
        plain["origin"] = _dump(trace.origin)
    return join_sections(plain)


def decode_trace(data: bytes) -> Trace:
    """Unpack a whole trace. Raises StorageError (not retryable) for what is no trace of ours."""
    head = load_object(data, "head")
    part = read_steps(data)
    return Trace(
        summary=build(EpisodeSummary, head.get("summary"), "summary"),
        options=part.options,
        tools=build(list[dict[str, Any]], head.get("tools"), "tools"),
        first_view=part.first_view,
        first_hash=part.first_hash,
        turns=read_turns(data),
        steps=part.steps,
        origin=read_origin(data),
    )


def measure(data: bytes) -> dict[str, int]:
    """Packed bytes of each section and in all, for size figures."""
    sizes = {name: packed for name, _, packed, _ in read_table(data)}
    return {**sizes, "total": len(data)}


def _steps_to_json(trace: Trace) -> dict[str, list[Any]]:
    steps = trace.steps
    return {
        "turn": [step.turn for step in steps],
        "action": [step.action for step in steps],
        "reward": [step.reward for step in steps],
        "hash": [step.state_hash for step in steps],
        "unlocked": [step.unlocked for step in steps],
        "view_sizes": [len(trace.first_view), *(len(step.view) for step in steps)],
    }


def _turns_to_json(turns: list[Turn]) -> tuple[list[Any], list[dict[str, Any]]]:
    """(distinct messages, turns that link to them by index)."""
    pool: list[Any] = []
    known: dict[str | tuple[str, str], int] = {}
    rows = []
    for turn in turns:
        row = {name: getattr(turn, name) for name in _TURN_FIELDS}
        row["message_links"] = links = []
        for message in turn.messages:
            identity = _identity(message)
            if identity not in known:
                known[identity] = len(pool)
                pool.append(message)
            links.append(known[identity])
        rows.append(row)
    return pool, rows


def _identity(message: dict[str, Any]) -> str | tuple[str, str]:
    """Equal for equal messages; those of nothing but role and text need no JSON for it."""
    role, content = message.get("role"), message.get("content")
    if len(message) == 2 and isinstance(role, str) and isinstance(content, str):
        return role, content
    return json.dumps(message)


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )
