"""What a job is given: its directory, config, inputs, events, and ways to write files safely.

Lives here: `Job`, `open_job`, files that are complete or absent. Not here: the jobs (one module
each), the lease (`lease.py`), the event types (`engine/events`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from engine.errors import ConfigError, StorageError
from engine.events import EventType, EventWriter, FileData, read_events
from engine.lease import Cancellation

Content = bytes | str | Callable[[BinaryIO], None]
EpisodeId = tuple[int, int]  # (seed, repeat)


class ConsoleEvents(EventWriter):
    """Events of a run by hand: also shown on the terminal."""

    def write(self, type_: EventType, data: Mapping[str, Any]) -> int:
        """As in EventWriter; log, progress, metric and result are printed to stderr too."""
        seq = super().write(type_, data)
        line = _words(type_, data)
        if line:
            print(line, file=sys.stderr, flush=True)
        return seq


class _Folder:
    """A folder that files are renamed into, made when the first one is written."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._counting, self._syncing = threading.Lock(), threading.Lock()
        self._asked = self._synced = 0

    def sync(self) -> None:
        """Make renames so far durable. Threads that ask together are served by one fsync."""
        with self._counting:
            self._asked += 1
            mine = self._asked
        with self._syncing:
            if self._synced >= mine:
                return
            goal = self._asked
            descriptor = os.open(self.path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._synced = goal


@dataclass
class Job:
    """One attempt at one shard of a run.

    config: the run's resolved config. inputs: what it names, resolved to paths and addresses.
    episodes: (seed, repeat) that the shard plays; finished: those that are done already.
    resume: {"path", "step", ...} of the last complete checkpoint, None for a fresh start.
    retries: how many model calls this attempt may try again, its share of what the run has left;
    None by hand, where the config's figure counts.
    values: the figures so far; they are kept when the run is cancelled or fails.
    """

    directory: Path
    kind: str
    config: dict[str, Any]
    inputs: dict[str, Any]
    events: EventWriter
    cancelled: Cancellation
    run: str = ""
    number: int = 0
    shard: int = 0
    attempt: int = 0
    episodes: list[EpisodeId] = field(default_factory=list)
    finished: set[EpisodeId] = field(default_factory=set)
    resume: dict[str, Any] | None = None
    retries: int | None = None
    values: dict[str, Any] = field(default_factory=dict)
    _folders: dict[str, _Folder] = field(default_factory=dict, init=False, repr=False)

    def write_file(self, path: str, content: Content, *, durable: bool = True) -> FileData:
        """Write a file below the directory: complete under its name, or not there at all.

        content: bytes, text, or a function that writes into a binary file. May be called from any
        thread, once a path. Not durable: a power failure may tear it, which its hash tells; for
        what can be made again. Raises StorageError: disk full, or a path that leaves the directory.
        """
        folder, name = self._place(path)
        target, staged = f"{folder.path}/{name}", f"{folder.path}/.{name}.part"
        try:
            os.makedirs(folder.path, exist_ok=True)
            with open(staged, "wb") as file:
                if callable(content):
                    content(file)
                else:
                    file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            digest, size = _hash(staged, content)
            os.replace(staged, target)
            if durable:
                folder.sync()
        except OSError as err:
            with contextlib.suppress(OSError):
                os.unlink(staged)
            raise StorageError(
                f"{path} cannot be written: {err.strerror or err}.",
                hint="Make room on the disk that holds the run's directory, then resume the run.",
            ) from err
        return {"path": path, "sha256": digest, "size": size}

    def artifact(self, path: str, content: Content, role: str) -> FileData:
        """Write a file and announce it as belonging to the run."""
        file = self.write_file(path, content)
        self.events.write("artifact", {**file, "role": role})
        return file

    def progress(self, done: int, total: int, unit: str, *, retried: int = 0) -> None:
        """Say how far the shard is, over all its attempts; `retried` as in ProgressData."""
        self.events.progress(done, total, unit, retried=retried)

    def _place(self, path: str) -> tuple[_Folder, str]:
        """(folder, which is there then, name) of a path below the directory.

        A folder is looked at once: only this job writes here, and resolving its links takes longer
        than writing a small file.
        """
        parent, _, name = path.rpartition("/")
        folder = self._folders.get(parent)
        if folder is None:
            home, found = self.directory.resolve(), (self.directory / parent).resolve()
            if not found.is_relative_to(home):
                raise _outside(path)
            folder = self._folders.setdefault(parent, _Folder(found))
        if name in ("", ".", "..") or os.path.islink(f"{folder.path}/{name}"):
            raise _outside(path)
        return folder, name


def check_room(size_bytes: int, folder: Path, *, estimated: bool = False) -> None:
    """A copy of so much in `folder` and what is stored of it must both fit. Raises StorageError.

    estimated: the size is the most that a GGUF file elsewhere may unpack to.
    """
    free = shutil.disk_usage(folder).free
    if 2 * size_bytes > free:
        up_to, hint = "", "Make room on the disk of SYNTHWEB_HOME, then resume the run."
        if estimated:
            up_to = "up to (an estimate by the size of its GGUF file) "
            hint += " Or fetch the file and import its path: its header says how much it is."
        raise StorageError(
            f"It takes {up_to}{2 * size_bytes / 1e9:.1f} GB of disk while it is imported, "
            f"{free / 1e9:.1f} GB are free.",
            hint=hint,
            retryable=False,
            code="no_room",
        )


def _outside(path: str) -> StorageError:
    return StorageError(f"{path!r} is not below the run's directory.", retryable=False)


def open_job(directory: Path, cancelled: Cancellation, *, console: bool = False) -> Job:
    """Read RUN_DIR/config.json and open its events.

    A directory that already has events is gone on with: its announced episodes count as finished.
    Raises ConfigError when the directory or its config cannot be used.
    """
    raw = _read_config(directory / "config.json")
    events = (ConsoleEvents if console else EventWriter)(directory)
    resume = raw.get("resume")
    return Job(
        directory=directory,
        kind=str(raw["kind"]),
        config=_section(raw, "config"),
        inputs=_section(raw, "inputs"),
        events=events,
        cancelled=cancelled,
        run=str(raw.get("run", "")),
        number=int(raw.get("number", 0)),
        shard=int(raw.get("shard", 0)),
        attempt=int(raw.get("attempt", 0)),
        episodes=[(int(e["seed"]), int(e.get("repeat", 0))) for e in raw.get("episodes") or ()],
        finished={(int(seed), int(repeat)) for seed, repeat in raw.get("finished") or ()}
        | _announced(events.path),
        resume=resume if isinstance(resume, dict) else None,
        retries=None if raw.get("retries") is None else int(raw["retries"]),
    )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise ConfigError(
            f"{path} is not there.", hint="Name the directory of a run: python -m engine RUN_DIR."
        ) from err
    except (OSError, ValueError) as err:
        raise ConfigError(f"{path} cannot be read: {err}.") from err
    if not isinstance(raw, dict) or not isinstance(raw.get("kind"), str):
        raise ConfigError(f'{path} is no run config: it has no "kind".')
    return raw


def _section(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = raw.get(name, {})
    if not isinstance(value, dict):
        raise ConfigError(f"config.json: {name} is a {type(value).__name__}, expected an object.")
    return value


def _announced(path: Path) -> set[EpisodeId]:
    """Episodes that this directory has announced and holds, cut-off ones left out."""
    rows = [event.data for event, _ in read_events(path) if event.type == "episode"]
    return {
        (row["summary"]["seed"], row["summary"]["repeat"])
        for row in rows
        if row["summary"]["ended"] != "cancelled" and _is_whole(path.parent, row["payload"])
    }


def _is_whole(directory: Path, file: FileData) -> bool:
    """Whether an announced file is there and was not torn by a power failure."""
    try:
        content = (directory / file["path"]).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(content).hexdigest() == file["sha256"]


def _hash(path: str, content: Content) -> tuple[str, int]:
    """SHA-256 and size of a file; it is read again only where its bytes are not at hand."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest(), len(content)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return digest, os.path.getsize(path)


def _words(type_: str, data: Mapping[str, Any]) -> str:
    if type_ == "log":
        return f"[{data['level']}] {data['message']}"
    if type_ == "progress":
        return f"{data['done']}/{data['total']} {data['unit']}"
    if type_ == "metric":
        values = "  ".join(f"{name} {value:.4g}" for name, value in data["values"].items())
        return f"step {data['step']}: {values}"
    if type_ == "result":
        return "succeeded" if data["ok"] else f"ended: {data['error']['message']}"
    return ""
