"""Files that events announce: stored before the transaction that makes their rows.

The engine renames a file into place before it announces it, so an announced file is whole. One
that is missing or has another hash is a fault of the disk or of the job: its event becomes an
error in the log, and ingest goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from apps.runs import storage
from engine.errors import StorageError
from engine.events import Event

PREFIXES = {
    "episode": "traces",
    "artifact": "artifacts",
    "dataset": "datasets",
    "checkpoint": "checkpoints",
}


class Announced(NamedTuple):
    path: str  # relative to the attempt's directory
    sha256: str


def files_of(event: Event) -> Iterator[Announced]:
    """The files that an event announces."""
    data = event.data
    if event.type == "episode":
        yield Announced(data["payload"]["path"], data["payload"]["sha256"])
    elif event.type == "artifact":
        yield Announced(data["path"], data["sha256"])
    elif event.type == "dataset":
        yield Announced(data["file"]["path"], data["file"]["sha256"])
    elif event.type == "checkpoint":
        for file in data["files"]:
            yield Announced(f"{data['path']}/{file['path']}", file["sha256"])


def store_files(directory: Path, events: list[Event], keys: dict[str, str]) -> list[Event]:
    """Store all announced files, filling `keys` (sha256 -> storage key); gives the events back.

    An event whose file cannot be used is replaced by a log event. Raises StorageError when storing
    failed for a passing reason (disk full, store away): the batch is tried again.
    """
    return [_stored(directory, event, keys) for event in events]


def _stored(directory: Path, event: Event, keys: dict[str, str]) -> Event:
    if event.type not in PREFIXES:
        return event
    try:
        for file in files_of(event):
            if file.sha256 not in keys:
                path = _inside(directory, file.path)
                keys[file.sha256] = storage.put_file(
                    path, sha256=file.sha256, prefix=PREFIXES[event.type]
                )
    except (StorageError, FileNotFoundError, KeyError, TypeError) as err:
        if isinstance(err, StorageError) and err.retryable:
            raise
        message = f"An announced {event.type} (event {event.seq} of its attempt) was dropped: {err}"
        data = {"level": "error", "message": message, "lost": event.type}
        return Event(event.seq, event.at, "log", data)
    return event


def _inside(directory: Path, name: str) -> Path:
    """The announced path, which must be a plain file below the attempt's directory."""
    path = (directory / name).resolve()
    if not path.is_relative_to(directory.resolve()):
        raise StorageError(f"{name}: lies outside the run's directory.", retryable=False)
    if not path.is_file():
        raise StorageError(f"{name}: is not there.", retryable=False)
    return path
