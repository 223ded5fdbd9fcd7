"""What every training job does beside training: quiet threads, checkpoints told and found again.

Lives here: the reporter of fine-tuning, the event of a checkpoint, the one to go on from. Not here:
the jobs (`sft.py`, `base.py`, `rl.py`), the trainers (`engine/train/`).
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from engine.errors import StorageError, TrainingError
from engine.events import CheckpointData
from engine.jobs.job import Job

KEPT_CHECKPOINTS = 2  # the one being ingested and the one before


class JobReporter:
    """Turns what the trainer says into events of the run."""

    def __init__(self, job: Job, method: str, keep_last: int = KEPT_CHECKPOINTS) -> None:
        self.job, self.method = job, method
        self.keep_last = max(keep_last, KEPT_CHECKPOINTS)
        self.saved: list[Path] = []

    def metric(self, step: int, values: dict[str, float], tokens: int) -> None:
        self.job.events.metric(step, values, tokens)

    def progress(self, done: int, total: int) -> None:
        self.job.events.progress(done, total, "steps")

    def cancelled(self) -> bool:
        return self.job.cancelled.is_set()

    def checkpoint(self, folder: Path, step: int) -> None:
        """Announce a checkpoint that serves resume and drop those that no resume will want."""
        from engine.train.checkpoints import list_files

        announce_checkpoint(
            self.job, folder, list_files(folder), step, final=False, method=self.method, metrics={}
        )
        self.saved.append(folder)
        for old in self.saved[: -self.keep_last]:
            shutil.rmtree(old, ignore_errors=True)


def prepare_threads() -> None:
    """Before torch is imported: threads that wait must sleep, not spin.

    Spinning OpenMP threads make training 3–4 times slower as soon as anything else runs.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def announce_checkpoint(
    job: Job,
    folder: Path,
    files: list[Any],
    step: int,
    *,
    final: bool,
    method: str,
    metrics: dict[str, float],
    kind: str = "sft",
) -> None:
    """Write the event of a complete checkpoint folder below the attempt's directory."""
    event: CheckpointData = {
        "path": folder.relative_to(job.directory).as_posix(),
        "files": files,
        "step": step,
        "final": final,
        "kind": kind,
        "method": method,
        "metrics": metrics,
    }
    job.events.write("checkpoint", event)


def find_resume(job: Job) -> Path | None:
    """The checkpoint folder of an earlier attempt, None for a fresh start.

    Raises StorageError when a file of it is not the one that was announced.
    """
    from engine.train.checkpoints import hash_file

    resume = job.resume
    if not resume:
        return None
    path = Path(resume["path"])
    for file in resume.get("files", ()):
        if hash_file(path / file["path"]) != file["sha256"]:
            raise StorageError(f"checkpoint {path.name}: {file['path']} is not what was saved")
    if not (path / "trainer_state.json").is_file():
        raise TrainingError(f"{path}: no checkpoint that a training can go on from")
    return path
