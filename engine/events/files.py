"""`events.jsonl`: the one who appends events to it, and those who read it while it grows.

Lives here: lines, their numbers, torn tails. Not here: what the types mean (`kinds.py`).
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from engine.events.kinds import EVENT_TYPES, EventType, ProgressData


class Event(NamedTuple):
    seq: int
    at: float  # seconds since the epoch, UTC
    type: str
    data: dict[str, Any]


class Unreadable(NamedTuple):
    """A complete line that is no event: a damaged file, or one that somebody else wrote into."""

    line: int  # from 1
    reason: str


class EventWriter:
    """Appends events to `events.jsonl`. Safe from several threads; every line is flushed whole.

    Opening an existing file goes on behind its last complete line (a torn tail is cut off).
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "events.jsonl"
        self._lock = threading.Lock()
        self._seq = _repair(self.path)
        self._file = self.path.open("ab", buffering=0)

    @property
    def seq(self) -> int:
        """The number of the last event written; 0 when there is none."""
        return self._seq

    def write(self, type_: EventType, data: Mapping[str, Any]) -> int:
        """Append one event and return its seq. Raises ValueError for a type not in the set."""
        if type_ not in EVENT_TYPES:
            raise ValueError(f"unknown event type {type_!r}; known: {sorted(EVENT_TYPES)}")
        with self._lock:
            record = {
                "seq": self._seq + 1,
                "at": round(time.time(), 3),
                "type": type_,
                "data": data,
            }
            line = json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            self._append(line.encode() + b"\n")
            self._seq += 1
            return self._seq

    def _append(self, line: bytes) -> None:
        """Write a whole line, or nothing: on a full disk the kernel takes a part and then refuses.

        Half a line in front of the next one would make the file unreadable for ever.
        """
        end, left = os.fstat(self._file.fileno()).st_size, memoryview(line)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            os.ftruncate(self._file.fileno(), end)
            raise

    def log(self, message: str, level: str = "info") -> None:
        """Write one log event."""
        self.write("log", {"level": level, "message": message})

    def progress(self, done: int, total: int, unit: str, *, retried: int = 0) -> None:
        """Say how far the shard is, over all its attempts; `retried` as in ProgressData."""
        data: ProgressData = {"done": done, "total": total, "unit": unit}
        self.write("progress", {**data, "retried": retried} if retried else data)

    def metric(self, step: int, values: Mapping[str, float], tokens: int | None = None) -> None:
        """Record values measured at `step` (from 1). NaN and infinity are written as log lines."""
        finite = {k: float(v) for k, v in values.items() if math.isfinite(v)}
        for name in values.keys() - finite.keys():
            self.log(f"metric {name} at step {step} is not finite: {values[name]}", "warning")
        data: dict[str, Any] = {"step": step, "values": finite}
        if tokens is not None:
            data["tokens"] = tokens
        self.write("metric", data)

    def sync(self) -> None:
        """Force what was written to disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self.sync()
        self._file.close()


def read_events(path: Path, *, offset: int = 0) -> Iterator[tuple[Event, int]]:
    """Yield complete events from byte `offset` on, each with the offset behind it.

    Stops at a line without newline: it may still be growing. O(1) memory. What is no event is
    left out; `read_lines` tells of it.
    """
    for found, behind in read_lines(path, offset=offset):
        if isinstance(found, Event):
            yield found, behind


def read_lines(path: Path, *, offset: int = 0) -> Iterator[tuple[Event | Unreadable, int]]:
    """As `read_events`, with what cannot be read of the complete lines."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            start, offset = offset, offset + len(line)
            try:
                yield _parse(line), offset
            except (ValueError, RecursionError) as err:
                yield Unreadable(lines_before(path, start) + 1, str(err)[:200]), offset


def _parse(line: bytes) -> Event:
    """One line as an event. Raises ValueError that says what is odd."""
    record = json.loads(line[:-1].decode())
    if not isinstance(record, dict):
        raise ValueError(f"it holds a {type(record).__name__}, not an object")
    seq, at, type_, data = (record.get(name) for name in Event._fields)
    if type(seq) is not int or seq < 1:
        raise ValueError(f"its seq is {str(seq)[:40]!r}")
    if type(at) is not float and type(at) is not int:
        raise ValueError(f"its time is {str(at)[:40]!r}")
    if not isinstance(type_, str) or type_ not in EVENT_TYPES:
        raise ValueError(f"its type is {str(type_)[:40]!r}")
    if not isinstance(data, dict):
        raise ValueError(f"its data is a {type(data).__name__}, not an object")
    return Event(seq, at, type_, data)


def lines_before(path: Path, offset: int) -> int:
    """How many lines end before a byte."""
    with path.open("rb") as file:
        n_lines = 0
        while offset and (piece := file.read(min(offset, 1 << 20))):
            n_lines += piece.count(b"\n")
            offset -= len(piece)
    return n_lines


def _repair(path: Path) -> int:
    """Cut a torn tail and return the last seq."""
    last, end = 0, 0
    for found, offset in read_lines(path):
        last, end = max(last, found.seq) if isinstance(found, Event) else last, offset
    if path.exists() and path.stat().st_size != end:
        os.truncate(path, end)
    return last
