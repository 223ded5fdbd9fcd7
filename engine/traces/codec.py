"""The file form of a trace: compact, lossless, readable in pieces, safe to read from strangers.

Lives here: `Trace` <-> bytes. Not here: the record itself (`record.py`), tracing v3, storage.

Layout, all integers little-endian::

    magic b"SWTR" | version u8 | n_sections u8 | table | sections
    table row:      name 8 bytes (ASCII, zero-padded) | packed size u32 | plain size u32
    section:        zlib over JSON (`head`, `steps`, `turns`, `messages`, `tokens`) or, for `views`,
                    over the views one behind the other (their sizes stand in `steps`)

An imported trace also has `origin`, the rows of tracing v3 that it was made of.
Messages repeat from turn to turn (the system prompt), so each distinct one is stored once.
Reading trusts nothing: sizes are checked before anything is unpacked, types before anything is
built, and whatever is odd becomes a StorageError that says what.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import fields
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from engine.errors import StorageError
from engine.traces.record import EpisodeSummary, Step, Trace, Turn

MAGIC = b"SWTR"
VERSION = 1
SUFFIX = ".swtrace"
# An episode of 10,000 steps has 1 MB of views and some 50 MB of messages before packing.
MAX_PLAIN_BYTES = 256 * 1024 * 1024
_HEADER = struct.Struct("<4sBB")
_ROW = struct.Struct("<8sII")
_TOKEN_FIELDS = ("prompt_ids", "completion_ids", "logprobs", "pieces")  # older traces: three
_TURN_FIELDS = tuple(
    f.name for f in fields(Turn) if f.name not in _TOKEN_FIELDS and f.name != "messages"
)
_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}

T = TypeVar("T")


class Moment(NamedTuple):
    """Where a game stands after some steps: the turn that made the last one, and the picture."""

    turn: int
    view: bytes


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


def encode_trace(trace: Trace) -> bytes:
    """Pack a trace; `decode_trace` gives back an equal one."""
    messages, turns = _turns_to_json(trace.turns)
    head = {
        "summary": trace.summary.to_json(),
        "options": trace.options,
        "tools": trace.tools,
        "first_hash": trace.first_hash,
    }
    tokens = [[getattr(turn, name) for name in _TOKEN_FIELDS] for turn in trace.turns]
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
    packed = {name: _pack(content) for name, content in plain.items()}
    table = b"".join(
        _ROW.pack(name.encode(), len(packed[name]), len(content)) for name, content in plain.items()
    )
    header = _HEADER.pack(MAGIC, VERSION, len(plain))
    return header + table + b"".join(packed.values())


def _pack(content: bytes) -> bytes:
    """zlib with a window of the content's size: to clear the largest takes 30 us a section."""
    bits = len(content).bit_length()
    packer = zlib.compressobj(6, zlib.DEFLATED, min(15, max(9, bits)), 8 if bits > 14 else 5)
    return packer.compress(content) + packer.flush()


def decode_trace(data: bytes) -> Trace:
    """Unpack a whole trace. Raises StorageError (not retryable) for what is no trace of ours."""
    head = _object(data, "head")
    part = read_steps(data)
    return Trace(
        summary=_build(EpisodeSummary, head.get("summary"), "summary"),
        options=part.options,
        tools=_build(list[dict[str, Any]], head.get("tools"), "tools"),
        first_view=part.first_view,
        first_hash=part.first_hash,
        turns=read_turns(data),
        steps=part.steps,
        origin=read_origin(data),
    )


def read_origin(data: bytes) -> dict[str, Any] | None:
    """The rows of tracing v3 that the trace was imported from; None for a game of our own."""
    if not any(name == "origin" for name, *_ in _table(data)):
        return None
    return _object(data, "origin")


def read_summary(data: bytes) -> EpisodeSummary:
    """Only the summary: a few hundred bytes are unpacked."""
    return _build(EpisodeSummary, _object(data, "head").get("summary"), "summary")


def read_steps(data: bytes) -> StepsPart:
    """Actions, rewards, views and hashes without unpacking any prompt."""
    head = _object(data, "head")
    columns = _object(data, "steps")
    views = _split(_section(data, "views"), columns.get("view_sizes"))
    rows = [columns.get(name) for name in ("turn", "action", "reward", "hash", "unlocked")]
    if not all(isinstance(row, list) and len(row) == len(views) - 1 for row in rows):
        raise _odd("its step columns differ in length")
    steps = [
        _build(Step, dict(zip(_STEP_FIELDS, (*row, view), strict=True)), f"step {index}")
        for index, (*row, view) in enumerate(zip(*rows, views[1:], strict=True))  # type: ignore[arg-type]
    ]
    options = _build(dict[str, Any], head.get("options"), "options")
    first_hash = _build(str, head.get("first_hash"), "first_hash")
    return StepsPart(options, views[0], first_hash, steps)


def read_moment(data: bytes, step: int) -> Moment:
    """The moment after `step` steps (0: the fresh world; beyond the end: the end)."""
    columns = _object(data, "steps")
    views = _split(_section(data, "views"), columns.get("view_sizes"))
    turns = _build(list[int], columns.get("turn"), "turns of its steps")
    if len(turns) != len(views) - 1:
        raise _odd("its step columns differ in length")
    at = max(0, min(step, len(turns)))
    return Moment(turns[at - 1] if at else 0, views[at])


def read_turns(data: bytes) -> list[Turn]:
    """The model calls with their prompts."""
    rows, tokens = _turn_rows(data)
    pool = _load(data, "messages")
    return [_turn(rows, tokens, index, pool) for index in range(len(rows))]


def read_turn(data: bytes, index: int) -> Turn | None:
    """One model call with its prompt; None when there is none of this index."""
    rows, tokens = _turn_rows(data)
    if not 0 <= index < len(rows):
        return None
    return _turn(rows, tokens, index, _load(data, "messages"))


def read_turn_page(data: bytes, turn: int, size: int) -> TurnsPart:
    """The page of `size` turns that holds `turn` (the last page for a turn beyond the end).

    Their prompts stay packed and are empty lists; the other turns are not built.
    """
    rows, tokens = _turn_rows(data)
    first = max(0, min(turn, len(rows) - 1)) // size * size
    page = range(len(rows))[first : first + size]
    return TurnsPart(len(rows), first, [_turn(rows, tokens, index, None) for index in page])


def _turn_rows(data: bytes) -> tuple[list[dict[str, Any]], list[list[list[Any]]]]:
    rows = _build(list[dict[str, Any]], _load(data, "turns"), "turns")
    tokens = _build(list[list[list[Any]]], _load(data, "tokens"), "tokens")
    if len(tokens) != len(rows):
        raise _odd("its turns and tokens differ in number")
    return rows, tokens


def _turn(rows: list[dict[str, Any]], tokens: list[list[list[Any]]], index: int, pool: Any) -> Turn:
    """One turn of the columns; `pool` are the messages of all of them, None to leave them out."""
    row = rows[index]
    links = row.pop("message_links", [])
    row["messages"] = [] if pool is None else _follow(links, pool, index)
    row.update(zip(_TOKEN_FIELDS, tokens[index], strict=False))
    return _build(Turn, row, f"turn {index}")


def measure(data: bytes) -> dict[str, int]:
    """Packed bytes of each section and in all, for size figures."""
    sizes = {name: packed for name, _, packed, _ in _table(data)}
    return {**sizes, "total": len(data)}


_STEP_FIELDS = ("turn", "action", "reward", "state_hash", "unlocked", "view")


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


def _follow(links: Any, pool: Any, index: int) -> list[Any]:
    valid = (
        isinstance(pool, list)
        and isinstance(links, list)
        and all(isinstance(link, int) and 0 <= link < len(pool) for link in links)
    )
    if not valid:
        raise _odd(f"turn {index} names a message that is not there")
    return [pool[link] for link in links]


def _table(data: bytes) -> list[tuple[str, int, int, int]]:
    """(name, offset, packed size, plain size) of every section, checked against the file's size."""
    if len(data) < _HEADER.size:
        raise _odd(f"it has {len(data)} bytes, too few for a header")
    magic, version, n_sections = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise _odd(f"it begins with {magic!r}, not {MAGIC!r}")
    if version != VERSION:
        raise _odd(f"its version is {version}; this program reads version {VERSION}")
    offset = _HEADER.size + n_sections * _ROW.size
    if len(data) < offset:
        raise _odd("it is cut off in its table")
    rows = []
    for index in range(n_sections):
        raw, packed, plain = _ROW.unpack_from(data, _HEADER.size + index * _ROW.size)
        rows.append((raw.rstrip(b"\0").decode("ascii", "replace"), offset, packed, plain))
        offset += packed
    if offset != len(data):
        raise _odd(f"it has {len(data)} bytes where its table says {offset}")
    if sum(row[3] for row in rows) > MAX_PLAIN_BYTES:
        raise _odd(f"it would unpack to more than {MAX_PLAIN_BYTES} bytes")
    return rows


def _section(data: bytes, wanted: str) -> bytes:
    for name, offset, packed, plain in _table(data):
        if name == wanted:
            unpacker = zlib.decompressobj()
            try:
                content = unpacker.decompress(data[offset : offset + packed], plain + 1)
            except zlib.error as err:
                raise _odd(f"its section {wanted} is damaged ({err})") from err
            if len(content) != plain or not unpacker.eof:
                raise _odd(f"its section {wanted} is not {plain} bytes long")
            return content
    raise _odd(f"it has no section {wanted}")


def _load(data: bytes, name: str) -> Any:
    try:
        return json.loads(_section(data, name))
    except (ValueError, RecursionError) as err:
        raise _odd(f"its section {name} is no JSON ({type(err).__name__})") from err


def _object(data: bytes, name: str) -> dict[str, Any]:
    return _build(dict[str, Any], _load(data, name), name)


def _split(blob: bytes, sizes: Any) -> list[bytes]:
    counts = _build(list[int], sizes, "view_sizes")
    if not counts or min(counts) < 0 or sum(counts) != len(blob):
        raise _odd("its views do not have the announced sizes")
    views, start = [], 0
    for size in counts:
        views.append(blob[start : start + size])
        start += size
    return views


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )


def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Building one takes 10 ms, so each is built once, when it is first needed."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _build(kind: type[T], value: Any, where: str) -> T:
    """`value` as `kind`, types checked. Raises StorageError that names the field."""
    try:
        built: T = _adapter(kind).validate_python(value)
        return built
    except (ValidationError, RecursionError) as err:
        detail = err.errors()[0]["msg"] if isinstance(err, ValidationError) else "nested too deep"
        raise _odd(f"its {where} has the wrong shape ({detail})") from err


def _odd(what: str) -> StorageError:
    return StorageError(
        f"This is no readable trace: {what}.",
        hint="The file was damaged or not written by this program; play the episode again.",
        retryable=False,
        code="bad_trace",
    )
