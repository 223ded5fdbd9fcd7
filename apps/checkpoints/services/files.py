"""A checkpoint's files on this machine's disk."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from django.conf import settings

from apps.checkpoints.models import Checkpoint
from apps.runs import storage
from engine.errors import StorageError

BASE = "base"  # as engine.train.adapters looks for it


def local_folder(checkpoint: Checkpoint) -> Path:
    """The checkpoint as a Hugging Face folder; treat it as read-only.

    Made once below HOME/cache (hard links where storage is a folder here), every file checked
    against its hash, and renamed when complete: any number of processes may ask at once. An
    adapter's has a link `base` to the folder of the weights that it belongs to.
    Raises StorageError when a file is missing or damaged.
    """
    base = local_folder(checkpoint.weights) if checkpoint.weights else None
    files = list(checkpoint.files.order_by("path"))
    if not files:
        raise StorageError(f"{checkpoint.model_id} has no files any more.", retryable=False)
    root = settings.SYNTHWEB_HOME / "cache" / "checkpoints"
    # The ids of the files are in the name: a renewed checkpoint is another folder.
    name = f"{checkpoint.uid}-{max(file.pk for file in files)}"
    target: Path = root / (f"{name}-on-{base.name}" if base else name)
    if target.is_dir():
        return target
    staged = root / f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}"
    try:
        for file in files:
            storage.place(file.storage_key, _inside(staged, file.path))
        if base:
            (staged / BASE).symlink_to(Path("..") / base.name)
        try:
            staged.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster: the same content
                raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return target


def _inside(folder: Path, path: str) -> Path:
    """`path` below `folder`; ingest refused all others, and so does this."""
    target = Path(os.path.normpath(folder / path))
    if not target.is_relative_to(folder) or target == folder:
        raise StorageError(f"{path!r} leads out of the checkpoint's folder.", retryable=False)
    return target
