"""Checkpoint folders: staged, forced to disk, renamed; so a torn one cannot exist.

Lives here: publishing a folder and listing its files. What goes into it is written by the trainer.
A published checkpoint holds safetensors, JSON, jinja and text only; resume state (optimizer, RNG)
stays in checkpoints that serve resume and is loaded with `weights_only=True`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from engine.errors import StorageError
from engine.events import FileData

RESUME_STATE = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "clock.json")
UNWANTED = ("training_args.bin",)  # a pickle that nothing here ever loads
CHUNK_BYTES = 1 << 20


def publish_folder(staged: Path, target: Path) -> list[FileData]:
    """Make `staged` complete and durable, then give it its name. Returns its files, sorted.

    Every file is forced to disk before the rename, the parent folder after it; a crash leaves
    either no `target` or a whole one. An older `target` of the same name is replaced.
    Raises StorageError when the disk refuses.
    """
    try:
        for name in UNWANTED:
            (staged / name).unlink(missing_ok=True)
        files = list_files(staged)
        for file in files:
            _sync(staged / file["path"])
        _sync(staged)
        if target.exists():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.rename(target)
        _sync(target.parent)
    except OSError as err:
        raise StorageError(f"checkpoint {target.name} could not be written: {err}") from err
    return files


def list_files(folder: Path) -> list[FileData]:
    """All files below `folder` with hash and size; links are refused by StorageError."""
    files: list[FileData] = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise StorageError(f"checkpoint {folder.name} contains a link: {path.name}")
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            files.append({"path": name, "sha256": hash_file(path), "size": path.stat().st_size})
    return files


def hash_file(path: Path) -> str:
    """SHA-256 in hex. O(1) memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def newest_checkpoint(folder: Path) -> Path | None:
    """The complete `step-N` below `folder` with the highest N; staged ones do not count."""
    steps = [
        path
        for path in folder.glob("step-*")
        if path.name[5:].isdigit() and (path / "trainer_state.json").is_file()
    ]
    return max(steps, key=lambda path: int(path.name[5:]), default=None)


def what_is_left(good: Path | None) -> str:
    """What a training that broke has kept, in words; `good` is its newest checkpoint."""
    if good is None:
        return "Nothing was learned yet: the model that it began with is as it was."
    return f"Checkpoint {good.name} is good."


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
