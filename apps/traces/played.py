"""What clients play over HTTP appears under /traces/: the task app's file, imported as it grows.

Lives here: the step of the ticker. Not here: the file's writer (the task app, a process of its own
without Django), importing itself (`importing.py`).

A cursor on the newest such run says how far the file was read, and a session that is there already
is left out, so a lost cursor or a second ticker costs time and nothing else.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from apps.accounts.models import Project
from apps.runs.models import Run, RunTag
from apps.traces.importing import KIND, close_run, new_run, store_sessions
from apps.traces.models import Episode, ImportedSession
from engine.traces.v3.meaning import seed_of
from engine.traces.v3.reader import TraceFile
from engine.traces.v3.session import Session

TAG = "task-app"
BATCH = 20
_read: dict[Path, tuple[int, ...]] = {}  # file -> its sizes and times when it was read last


def import_played() -> int:
    """Import what is new in the task app's file; returns how many sessions. Safe twice."""
    path: Path = settings.TASK_APP_TRACES
    project = Project.objects.order_by("id").first()
    state = _state(path)
    if project is None or not state or _read.get(path) == state:
        return 0
    _read[path] = state  # also of a file that cannot be read: it is tried again when it changes
    n_imported = 0
    with TraceFile(path) as file:
        found = file.sessions_after(_cursor(project, file))
        while some := list(islice(found, BATCH)):
            n_imported += _import(project, [session for _, session in some], some[-1][0])
    return n_imported


def _state(path: Path) -> tuple[int, ...]:
    """What changes when somebody writes; empty when there is no file."""
    marks: list[int] = []
    for name in (path, path.with_name(path.name + "-wal")):
        try:
            found = name.stat()
        except OSError:
            continue
        marks += [found.st_size, found.st_mtime_ns, found.st_ino]
    return tuple(marks)


def _runs(project: Project) -> list[Run]:
    tagged = RunTag.objects.filter(name=TAG, run__project=project, run__kind=KIND)
    return [tag.run for tag in tagged.select_related("run").order_by("-run_id")[:1]]


def _cursor(project: Project, file: TraceFile) -> int:
    """The last row that was imported; 0 when the file is another, shorter one."""
    after = max([int(run.inputs.get("after", 0)) for run in _runs(project)], default=0)
    return after if after <= file.last_row() else 0


def _import(project: Project, sessions: list[Session], last_row: int) -> int:
    """Import a batch into the run of the day, and move the cursor behind it."""
    hashes = {session.digest(): session for session in sessions}
    known = ImportedSession.objects.filter(project=project, sha256__in=list(hashes))
    for sha256 in known.values_list("sha256", flat=True):
        hashes.pop(sha256)
    run = _run_of_the_day(project)
    games = store_sessions(run, _numbered(run, list(hashes.values()))) if hashes else []
    Run.objects.filter(pk=run.pk).update(inputs={"source": TAG, "after": last_row})
    close_run(run)
    return len(games)


def _run_of_the_day(project: Project) -> Run:
    name = f"Played over HTTP, {datetime.now(UTC):%Y-%m-%d}"
    found = Run.objects.filter(project=project, kind=KIND, name=name, tags__name=TAG).first()
    if found is not None:
        return found
    with transaction.atomic():
        run = new_run(project=project, user=None, name=name)
        RunTag.objects.create(run=run, name=TAG)
    return run


def _numbered(run: Run, sessions: list[Session]) -> list[tuple[Session, int]]:
    """Each with the next number of its seed in the run."""
    seeds = {seed_of(session) for session in sessions}
    rows = Episode.objects.filter(run=run, seed__in=seeds).values_list("seed")
    next_repeat = {seed: last + 1 for seed, last in rows.annotate(last=Max("repeat"))}
    numbered = []
    for session in sessions:
        seed = seed_of(session)
        repeat = next_repeat.get(seed, 0)
        next_repeat[seed] = repeat + 1
        numbered.append((session, repeat))
    return numbered
