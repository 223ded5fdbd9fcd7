"""events.jsonl stays readable whatever the disk does."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.events import EventWriter, read_events


@contextlib.contextmanager
def files_no_larger_than(n_bytes: int) -> Iterator[None]:
    """The kernel takes a part of the write that crosses the limit, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_event_that_does_not_fit_leaves_no_half_line(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    writer.log("first")
    with files_no_larger_than(writer.path.stat().st_size + 40), pytest.raises(OSError):
        writer.log("x" * 200)
    assert writer.seq == 1
    writer.log("there is room again")
    writer.close()
    events = [event for event, _ in read_events(writer.path)]
    assert [event.seq for event in events] == [1, 2]
    assert events[-1].data["message"] == "there is room again"
