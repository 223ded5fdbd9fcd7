"""A dataset as a plain file on this machine, for a training."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from django.conf import settings

from apps.datasets.models import Dataset
from apps.datasets.queries import iter_lines
from engine.errors import StorageError


def local_file(dataset: Dataset) -> Path:
    """The dataset as plain JSONL; treat it as read-only.

    Made once below HOME/cache, checked against the dataset's hash, renamed when complete: any
    number of processes may ask at once. Raises StorageError when the file is missing or damaged.
    """
    target: Path = settings.SYNTHWEB_HOME / "cache" / "datasets" / f"{dataset.sha256}.jsonl"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
    digest = hashlib.sha256()
    try:
        with staged.open("wb") as out:
            for line in iter_lines(dataset):
                digest.update(line + b"\n")
                out.write(line + b"\n")
        if digest.hexdigest() != dataset.sha256:
            raise StorageError(
                f"The file of dataset {dataset.pk} is not the one that was stored.",
                hint="Restore it from a backup, or make the dataset again.",
                retryable=False,
            )
        staged.rename(target)
    except OSError as err:
        raise StorageError(f"writing dataset {dataset.pk}: {err.strerror or err}") from err
    finally:
        staged.unlink(missing_ok=True)
    return target
