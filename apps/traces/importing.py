"""Sessions of tracing v3 become episodes: from a file at the shell, uploaded, or as clients play.

Lives here: all writes of an import. Not here: reading files (`engine/traces/v3`), the job that
imports an upload (`engine/jobs/import_traces.py`). An import is a run of kind `import` that holds
the episodes. What a project has already is left out, so importing twice changes nothing.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile
from django.db import IntegrityError, transaction

from apps.accounts.errors import Refused
from apps.accounts.models import Project, Role, User
from apps.accounts.queries import Actor
from apps.accounts.services import record
from apps.runs import storage
from apps.runs.models import Need, Run, RunState, Shard, ShardState
from apps.runs.services import ShardPlan, create_run, move_run, queue_run
from apps.traces.finish import finish_import
from apps.traces.ingest import store_episodes
from apps.traces.models import ImportedSession
from engine.errors import StorageError
from engine.events import Event
from engine.rollout.importing import Imported, check_file, import_session, unknown_sessions
from engine.traces.codec import encode_trace
from engine.traces.v3.reader import TraceFile
from engine.traces.v3.session import Session

PREFIX = "imports"
BATCH = 25
KIND = "import"
Tell = Callable[[str, int, int], None]  # what is done, done, total


class ImportResult(NamedTuple):
    """What an import did. run: None when the project had every session already."""

    run: Run | None
    n_sessions: int
    n_imported: int
    n_verified: int


@dataclass
class _Direct:
    """A batch without worker and attempt, for `store_episodes`."""

    run: Run
    keys: dict[str, str] = field(default_factory=dict)
    shard: Shard | None = None

    def store_file(self, file: Mapping[str, Any]) -> str:
        return self.keys[file["sha256"]]

    def note(self, event: Event, **data: Any) -> None:
        """There is no event row that would keep it."""


def import_file(
    *, project: Project, user: User | None, path: Path, name: str = "", tell: Tell | None = None
) -> ImportResult:
    """Import a file here and now, streaming. Safe twice: the second time changes nothing.

    The whole file is checked first. Raises StorageError (`bad_trace_file`) naming the row that is
    wrong; then nothing was imported. Interrupted, it keeps what it has, and a repeat goes on.
    """
    say = tell or (lambda words, done, total: None)
    with TraceFile(path) as file:
        total = check_file(file, lambda done, all_: say("checked", done, all_))
        known = known_hashes(project, file)
        fresh = unknown_sessions(file, known)
        first = next(fresh, None)
        if first is None:
            return ImportResult(None, total, 0, 0)
        run = new_run(project=project, user=user, name=name or path.name)
        counts = _store_all(run, itertools.chain([first], fresh), total, say)
    close_run(run)
    return ImportResult(run, total, *counts)


def request_import(*, actor: Actor, path: Path, name: str) -> Run:
    """Queue the import of an uploaded file: a worker checks it whole, then imports it.

    What is no trace file at all is refused at once. Raises Refused(422). Every call makes a
    new run; sessions that the project has are left out all the same.
    """
    actor.require(Role.EDITOR)
    try:
        with TraceFile(path, name=name) as file:
            total = file.count()
            known = sorted(known_hashes(actor.project, file))
    except StorageError as err:
        raise Refused(err.code, err.message, err.hint, status=422) from err
    key = storage.put_file(path, sha256=storage.file_digest(path), prefix=PREFIX)
    with transaction.atomic():
        run = create_run(
            project=actor.project,
            user=actor.user,
            kind=KIND,
            name=name[:200],
            config=None,
            resolved={"type": KIND},
            inputs={"file": {"storage_key": key, "name": name}, "known": known},
            shards=[ShardPlan(need=Need.ROLLOUT, total=total)],
            progress_unit="sessions",
            max_attempts=2,
        )
        record(actor=actor, verb="traces.imported", target=f"run:{run.pk}", detail={"file": name})
        return queue_run(run=run)


def request_upload(*, actor: Actor, upload: UploadedFile, name: str) -> Run:
    """The same for a file of a request, in memory or on disk."""
    if isinstance(upload, TemporaryUploadedFile):
        return request_import(actor=actor, path=Path(upload.temporary_file_path()), name=name)
    with storage.staging_file(".db") as path:
        with path.open("wb") as out:
            for piece in upload.chunks():
                out.write(piece)
        return request_import(actor=actor, path=path, name=name)


def known_hashes(project: Project, file: TraceFile) -> frozenset[str]:
    """Of the sessions that the project has under a name that is in the file."""
    found: set[str] = set()
    for names in file.session_ids():
        rows = ImportedSession.objects.filter(project=project, session_id__in=names)
        found.update(rows.values_list("sha256", flat=True))
    return frozenset(found)


def new_run(*, project: Project, user: User | None, name: str) -> Run:
    """A draft that holds what is imported without a worker; `close_run` ends it."""
    run = create_run(
        project=project,
        user=user,
        kind=KIND,
        name=name[:200],
        config=None,
        resolved={"type": KIND},
        inputs={},
        shards=[ShardPlan(total=0)],
        progress_unit="sessions",
    )
    Shard.objects.filter(run=run).update(state=ShardState.SUCCEEDED)
    return run


def close_run(run: Run) -> None:
    """Give a run of `new_run` its result and its end. Safe twice, and after more was added."""
    n_episodes = run.episodes.count()
    Run.objects.filter(pk=run.pk).update(
        result=finish_import(run), progress_done=n_episodes, progress_total=n_episodes
    )
    with transaction.atomic():
        for state in (RunState.QUEUED, RunState.RUNNING, RunState.SUCCEEDED):
            if run.state != RunState.SUCCEEDED:
                move_run(run, state)


def store_sessions(run: Run, some: Iterable[tuple[Session, int]]) -> list[Imported]:
    """Store a batch in one transaction; what another import stored meanwhile is left out."""
    games = [import_session(session, repeat) for session, repeat in some]
    batch = _Direct(run)
    events = [_event(batch, game, number) for number, game in enumerate(games, 1)]
    try:
        with transaction.atomic():
            store_episodes(batch, events)
    except IntegrityError:  # another import stored one of them between our look and our write
        with transaction.atomic():
            store_episodes(batch, events)
    return games


def _store_all(
    run: Run, fresh: Iterator[tuple[Session, int]], total: int, say: Tell
) -> tuple[int, int]:
    n_imported = n_verified = 0
    while some := list(itertools.islice(fresh, BATCH)):
        games = store_sessions(run, some)
        n_imported += len(games)
        n_verified += sum(game.origin.verified for game in games)
        say("imported", n_imported, total)
    return n_imported, n_verified


def _event(batch: _Direct, game: Imported, number: int) -> Event:
    data = encode_trace(game.trace)
    sha256 = hashlib.sha256(data).hexdigest()
    with storage.staging_file(".swtrace") as path:
        path.write_bytes(data)
        batch.keys[sha256] = storage.put_file(path, sha256=sha256, prefix="traces")
    summary = game.trace.summary
    payload = {"path": "", "sha256": sha256, "size": len(data)}
    values = {"summary": summary.to_json(), "payload": payload, "origin": game.origin._asdict()}
    return Event(number, summary.started_at, "episode", values)
