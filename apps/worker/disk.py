"""What is left on this machine's own disk and serves nobody any more.

Lives here: directories of attempts, files in the making, copies of what is in storage. Storage
itself is swept by `apps.runs.orphans`.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.utils.timezone import now

from apps.checkpoints.models import Checkpoint
from apps.datasets.models import Dataset
from apps.runs.models import Attempt, Run, ShardState
from apps.runs.orphans import GRACE, named_among

KEEP_DIRECTORIES = timedelta(days=1)


def sweep_attempts() -> int:
    """Delete the directories of attempts that have been over for a day."""
    ended = Attempt.objects.filter(ended_at__lt=now() - KEEP_DIRECTORIES).exclude(directory="")
    done = ended.exclude(shard__state__in=(ShardState.QUEUED, ShardState.RUNNING))
    attempts = list(done.values_list("id", "directory")[:100])
    root = Path(settings.RUNS_DIR).resolve()
    for _, name in attempts:
        path = (root / name).resolve()
        if path != root and path.is_relative_to(root):
            _remove(path)
    Attempt.objects.filter(pk__in=[pk for pk, _ in attempts]).update(directory="")
    return len(attempts)


def sweep_disk() -> int:
    """Delete what is a day old and stands for no row: returns how many things. Safe twice.

    A copy that is missing later is made again, and a process that reads one keeps it open.
    """
    gone = [*_runs(), *_unfinished(), *_checkpoints(), *_datasets(), *_fetched()]
    for path in gone:
        _remove(path)
    return len(gone)


def _runs() -> list[Path]:
    """Directories of runs that were deleted while something was written there."""
    found = {path.name: path for path in _old(Path(settings.RUNS_DIR)) if path.name.isdecimal()}
    known = set(Run.objects.filter(pk__in=list(found)).values_list("pk", flat=True))
    return [path for name, path in found.items() if int(name) not in known]


def _unfinished() -> list[Path]:
    """Files in the making whose maker was killed."""
    return list(_old(settings.SYNTHWEB_HOME / "tmp"))


def _checkpoints() -> list[Path]:
    """Folders made of checkpoints that are gone; `<uid>-<id of its newest file>…`."""
    found = list(_old(settings.SYNTHWEB_HOME / "cache" / "checkpoints"))
    uids = {path.name.partition("-")[0] for path in found}
    kept = Checkpoint.objects.filter(uid__in=uids, deleted_at=None)
    return _but(found, kept.values_list("uid", flat=True), "-")


def _datasets() -> list[Path]:
    """Unpacked datasets that are gone; `<sha256>.jsonl`."""
    found = list(_old(settings.SYNTHWEB_HOME / "cache" / "datasets"))
    kept = Dataset.objects.filter(sha256__in={path.name.partition(".")[0] for path in found})
    return _but(found, kept.values_list("sha256", flat=True), ".")


def _fetched() -> list[Path]:
    """Copies of files of an object store that no row names any more."""
    root = settings.SYNTHWEB_HOME / "cache" / "files"
    folders = [folder for prefix in _entries(root) for folder in _entries(prefix)]
    found = {path.relative_to(root).as_posix(): path for folder in folders for path in _old(folder)}
    named = named_among(found) if found else set()
    return [path for key, path in found.items() if key not in named]


def _but(found: Iterable[Path], kept: Iterable[str], mark: str) -> list[Path]:
    """Those whose name up to `mark` is not kept: names of unfinished ones begin with a dot."""
    names: Collection[str] = set(kept)
    return [path for path in found if path.name.partition(mark)[0] not in names]


def _old(folder: Path) -> Iterator[Path]:
    """What lies in a folder and was last changed more than a day ago."""
    before = (now() - GRACE).timestamp()
    return (path for path in _entries(folder) if path.lstat().st_mtime < before)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
