"""What takes how much room: working folders of runs, stored files, the database, what is free.

Folders are walked for at most a second and the answer is kept for a minute, so that a page that
many people open costs the disk nothing.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.core.cache import cache
from django.core.files.storage import FileSystemStorage, default_storage
from django.db import connection
from django.db.models import Sum

from apps.accounts.models import Project
from apps.runs.models import Artifact, Run

WALK_S = 1.0
KEEP_S = 60
N_BIGGEST = 20
_CACHE_KEY = "disk-use"


class Room(NamedTuple):
    """Bytes in use by one kind of thing. `whole` is False when the walk ended before it was done.

    size_bytes None: it is not on this machine's disk.
    """

    name: str
    where: str
    size_bytes: int | None
    whole: bool


class Disk(NamedTuple):
    """The disk of SYNTHWEB_HOME, and what of ours is on it."""

    total_bytes: int
    free_bytes: int
    rooms: list[Room]
    folders: dict[int, int]  # run id → bytes of its working folder

    @property
    def used_rate(self) -> float:
        return 1 - self.free_bytes / self.total_bytes if self.total_bytes else 0.0


class BigRun(NamedTuple):
    """A run by the room it takes: files that are kept and its working folder."""

    run_id: int
    name: str
    kind: str
    kept_bytes: int
    folder_bytes: int

    @property
    def size_bytes(self) -> int:
        return self.kept_bytes + self.folder_bytes


def measure_disk() -> Disk:
    """Measure, at most once a minute in this process."""
    found = cache.get(_CACHE_KEY)
    if isinstance(found, Disk):
        return found
    measured = _measure(time.monotonic() + WALK_S)
    cache.set(_CACHE_KEY, measured, KEEP_S)
    return measured


def list_biggest(*, project: Project, disk: Disk) -> list[BigRun]:
    """The project's runs that take the most room, largest first."""
    rows = Artifact.objects.filter(run__project=project).values("run_id").annotate(n=Sum("size"))
    kept = dict(rows.order_by("-n").values_list("run_id", "n")[:N_BIGGEST])
    folders = sorted(disk.folders.items(), key=lambda item: -item[1])[: 5 * N_BIGGEST]
    ids = {*kept, *(run_id for run_id, _ in folders)}
    runs = Run.objects.filter(project=project, pk__in=ids).values_list("id", "name", "kind")
    big = [
        BigRun(pk, name, kind, kept.get(pk, 0), disk.folders.get(pk, 0)) for pk, name, kind in runs
    ]
    return sorted(big, key=lambda run: -run.size_bytes)[:N_BIGGEST]


def _measure(deadline: float) -> Disk:
    home = Path(settings.SYNTHWEB_HOME)
    space = shutil.disk_usage(home if home.exists() else home.anchor)
    folders, whole = _folders_of_runs(Path(settings.RUNS_DIR), deadline)
    rooms = [
        Room("Working folders of runs", str(settings.RUNS_DIR), sum(folders.values()), whole),
        _stored(deadline),
        _database(),
        _folder("Base models", Path(settings.BASE_MODELS_DIR), deadline),
    ]
    return Disk(space.total, space.free, rooms, folders)


def _folders_of_runs(root: Path, deadline: float) -> tuple[dict[int, int], bool]:
    found: dict[int, int] = {}
    whole = True
    for entry in _entries(root):
        if entry.name.isdecimal() and entry.is_dir(follow_symlinks=False):
            size, done = _size_below(entry.path, deadline)
            found[int(entry.name)] = size
            whole = whole and done
    return found, whole


def _stored(deadline: float) -> Room:
    name, location = "Datasets, checkpoints and files", getattr(default_storage, "location", "")
    if isinstance(default_storage, FileSystemStorage):
        return _folder(name, Path(location), deadline)
    kept = Artifact.objects.aggregate(n=Sum("size"))["n"]
    return Room(name, "object storage", kept, True)


def _database() -> Room:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            return Room("Database", "PostgreSQL", int(cursor.fetchone()[0]), True)
    path = str(connection.settings_dict["NAME"])
    sizes = [os.path.getsize(p) for p in (path, f"{path}-wal") if os.path.isfile(p)]
    return Room("Database", path if sizes else "SQLite, in memory", sum(sizes), True)


def _folder(name: str, path: Path, deadline: float) -> Room:
    size, whole = _size_below(str(path), deadline)
    return Room(name, str(path), size, whole)


def _size_below(path: str, deadline: float) -> tuple[int, bool]:
    """Bytes of the plain files below a folder; links are not followed. False: out of time."""
    total, waiting = 0, [path]
    while waiting:
        if time.monotonic() > deadline:
            return total, False
        for entry in _entries(waiting.pop()):
            try:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_size
            except OSError:  # a run tidied up meanwhile
                continue
    return total, True


def _entries(path: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as found:
            return list(found)
    except OSError:
        return []
