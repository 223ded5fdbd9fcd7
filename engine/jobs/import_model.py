"""Run kind `import_model`: a Hugging Face model from outside becomes a base model of the project.

inputs: {"source": {"folder": path, "inside": root or ""} or {"repo": id, "revision": name or ""}}.
Files are copied (from the hub: fetched), the model is loaded once as it will be used, and what it
lacks for tools and training is put in; only then is it announced. What is taken, and why not:
`engine/config/model_folder.py`, `engine/train/importing.py`.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from engine.config.model_folder import Chosen, ModelFolder, look_into
from engine.errors import ConfigError, StorageError
from engine.jobs.hub import download
from engine.jobs.job import Job, check_room
from engine.jobs.training import announce_checkpoint, prepare_threads

CHUNK_BYTES = 4 << 20
EVERY_S = 0.5
MB = 1_000_000
SHOWN = 8


def run(job: Job) -> dict[str, Any]:
    """Import it. Raises Cancelled, ConfigError, StorageError, TrainingError."""
    prepare_threads()
    source = job.inputs.get("source")
    if not isinstance(source, dict) or not (source.get("folder") or source.get("repo")):
        raise ConfigError("An import run needs inputs.source: a folder or a repo.")
    staged = job.directory / ".staged-checkpoint"
    shutil.rmtree(staged, ignore_errors=True)  # of an attempt by hand that was stopped
    staged.mkdir()
    found = _fetch(job, source, staged)
    _say_left_out(job, found.files)
    values = _finish(job, found, staged)
    return {**job.values, **values, "left_out": found.files.left_out[:100]}


def _fetch(job: Job, source: dict[str, Any], staged: Path) -> ModelFolder:
    """The model's files in `staged`; where it lies, for a GGUF that is read from there."""
    if source.get("repo"):
        files = download(job, str(source["repo"]), str(source.get("revision") or ""), staged)
        found = look_into(staged)
        if found.gguf is not None:
            check_room(found.unpacked_bytes, staged)
        return found._replace(files=Chosen(found.files.taken, files.left_out))
    inside = Path(source["inside"]) if source.get("inside") else None
    found = look_into(Path(source["folder"]), inside)
    check_room(found.unpacked_bytes, staged)
    if found.gguf is None:
        _copy(job, found, staged)
    return found


def _finish(job: Job, found: ModelFolder, staged: Path) -> dict[str, Any]:
    """Load it, complete it, publish it."""
    from engine.train.checkpoints import publish_folder
    from engine.train.importing import check_memory, convert_gguf, try_out

    notes = []
    job.events.log("loading it once, as it will be served and trained")
    check_memory(found.n_weights, unpacks=found.gguf is not None)
    job.cancelled.check()
    if found.gguf is not None:
        notes.append(convert_gguf(found, staged))
        job.cancelled.check()
        if found.gguf.parent == staged:
            found.gguf.unlink()
    tried = try_out(staged)
    job.cancelled.check()
    notes += tried.notes
    for note in notes:
        job.events.log(note)
    folder = job.directory / "checkpoint"
    files = publish_folder(staged, folder)
    announce_checkpoint(job, folder, files, 0, final=True, method="full", metrics={}, kind="import")
    return {
        "architecture": tried.architecture,
        "n_parameters": tried.n_parameters,
        "context": tried.context,
        "size_bytes": sum(file["size"] for file in files),
        "notes": notes,
    }


def _copy(job: Job, found: ModelFolder, staged: Path) -> None:
    """Copy what is taken, a piece at a time, so that it can be stopped and watched."""
    done, total, told = 0, max(1, found.size_bytes // MB), 0.0
    for name in found.files.taken:
        try:
            with (found.path / name).open("rb") as source, (staged / name).open("wb") as out:
                while piece := source.read(CHUNK_BYTES):
                    job.cancelled.check()
                    out.write(piece)
                    done += len(piece)
                    if time.monotonic() - told >= EVERY_S:
                        told = time.monotonic()
                        job.progress(min(total, done // MB), total, "MB")
        except OSError as err:
            raise StorageError(f"{name} cannot be copied: {err.strerror or err}") from err
    job.progress(total, total, "MB")


def _say_left_out(job: Job, files: Chosen) -> None:
    if files.left_out:
        more = len(files.left_out) - SHOWN
        shown = ", ".join(files.left_out[:SHOWN]) + (f" and {more} more" if more > 0 else "")
        job.events.log(f"left out: {shown}")
