"""Checkpoints that only serve resume: the newest few while a training goes on, none afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from functools import partial

from django.conf import settings
from django.db import transaction

from apps.checkpoints.models import Checkpoint, CheckpointFile
from apps.runs import storage
from apps.runs.models import Run, RunInput, RunState

KEEP_LAST = 2  # where the config does not say
AT_ONCE = 100


def keep_newest(run: Run) -> int:
    """Delete a running training's resume checkpoints but for the newest `training.keep_last`.

    Inside ingest's transaction; the files go when it is committed. Safe twice.
    """
    wanted = (run.resolved.get("training") or {}).get("keep_last")
    keep = max(1, wanted) if isinstance(wanted, int) else KEEP_LAST
    rows = Checkpoint.objects.filter(run=run, final=False, deleted_at=None).order_by("-step", "-id")
    return _delete(list(rows[keep:]))


def sweep_resume() -> int:
    """Delete the resume checkpoints of trainings that succeeded. For the tick; safe at any time."""
    rows = Checkpoint.objects.filter(final=False, run__state=RunState.SUCCEEDED)
    with transaction.atomic():
        return _delete(list(rows.order_by("id")[:AT_ONCE]))


def _delete(checkpoints: list[Checkpoint]) -> int:
    """Delete rows and, once committed, files that nothing else names.

    One that something was trained from, or that a run takes in, stays: people named it.
    """
    ids = [row.pk for row in checkpoints]
    named = set(
        RunInput.objects.filter(kind="checkpoint", object_id__in=ids).values_list(
            "object_id", flat=True
        )
    )
    for field in ("base_id", "weights_id"):
        used = Checkpoint.objects.filter(**{f"{field}__in": ids})
        named |= set(used.values_list(field, flat=True))
    gone = [row for row in checkpoints if row.pk not in named]
    files = CheckpointFile.objects.filter(checkpoint__in=gone)
    keys = set(files.values_list("storage_key", flat=True))
    if gone:
        Checkpoint.objects.filter(pk__in=[row.pk for row in gone]).delete()
        uids = [row.uid for row in gone]
        transaction.on_commit(partial(_delete_files, keys, uids), robust=True)
    return len(gone)


def _delete_files(keys: Iterable[str], uids: Iterable[str]) -> None:
    """The contents that no checkpoint names any more, and the folders made of them here."""
    still = CheckpointFile.objects.filter(storage_key__in=list(keys))
    for key in set(keys) - set(still.values_list("storage_key", flat=True)):
        storage.delete(key)
    root = settings.SYNTHWEB_HOME / "cache" / "checkpoints"
    for uid in uids:
        for folder in root.glob(f"{uid}-*"):
            shutil.rmtree(folder, ignore_errors=True)
