"""One batch of events into the database: fenced, in one transaction, exactly once.

An attempt remembers the seq and offset up to which it was ingested, in the same transaction as
the rows, so a crash anywhere repeats nothing and loses nothing (R25). The run-wide seq is counted
on the run's locked row: ids would skip commits that come late on Postgres.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from django.db import DataError, transaction

from apps.runs.ingest.context import HANDLERS, IngestContext
from apps.runs.ingest.files import store_files
from apps.runs.ingest.metrics import add_points
from apps.runs.ingest.rows import (
    add_artifacts,
    add_event_rows,
    keep_progress,
    keep_result,
    take_seqs,
)
from apps.runs.ingest.views import are_known, drop_views, merge_views
from apps.runs.models import Attempt, Run
from apps.runs.services.leases import Claim, guard
from apps.runs.services.states import add_event, lock_run
from engine.errors import StorageError
from engine.events import Event, Unreadable, lines_before, read_lines
from synthweb import bell

MAX_EVENTS = 5_000
MAX_BYTES = 8 * 2**20
MAX_TOLD = 20  # unreadable lines of a batch
# What an event of an odd shape is to those who store it; not a database that is away.
ODD = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, DataError, StorageError)


class Source(NamedTuple):
    """Whose events are read, and where from. The attempt may be an earlier one of the shard."""

    attempt_id: int
    directory: Path

    @property
    def path(self) -> Path:
        return self.directory / "events.jsonl"


class Line(NamedTuple):
    """A complete line of the file, from byte `start` to the byte before `end`."""

    found: Event | Unreadable
    start: int
    end: int


def ingest_ready(source: Source, claim: Claim) -> int:
    """Ingest what is complete in the file now, at most one batch; returns the number of events.

    A line that is no event is left out and told in the run's log: it must not keep what stands
    around it, nor every later attempt, from being stored.
    Raises LeaseLost when `claim` was replaced, StorageError when a file could not be stored.
    Memory: one batch (5,000 events, 8 MB).
    """
    attempt = Attempt.objects.only("ingested_offset").get(pk=source.attempt_id)
    offset = start = attempt.ingested_offset
    lines: list[Line] = []
    for found, end in read_lines(source.path, offset=start):
        lines.append(Line(found, offset, end))
        offset = end
        if len(lines) >= MAX_EVENTS or offset - start >= MAX_BYTES:
            break
    if lines:
        _ingest(source, lines, claim)
    return len(lines)


def _ingest(source: Source, lines: list[Line], claim: Claim) -> None:
    """Ingest lines, in halves around an event of an odd shape that an earlier attempt left.

    An attempt that tells such an event fails, and says so. The next one meets it again in what was
    left, and would fail for ever: here it is left out, as a line that is no event.
    """
    events = [line.found for line in lines if isinstance(line.found, Event)]
    unreadable = [line.found for line in lines if isinstance(line.found, Unreadable)]
    try:
        ingest_batch(source, events, lines[-1].end, claim, unreadable)
    except ODD as err:
        if source.attempt_id == claim.attempt_id or getattr(err, "retryable", False):
            raise
        if len(lines) > 1:
            half = len(lines) // 2
            _ingest(source, lines[:half], claim)
            _ingest(source, lines[half:], claim)
            return
        reason = f"{type(err).__name__}: {err}"[:200]
        odd = Unreadable(lines_before(source.path, lines[0].start) + 1, reason)
        ingest_batch(source, [], lines[0].end, claim, [odd])


def ingest_batch(
    source: Source,
    events: list[Event],
    offset: int,
    claim: Claim,
    unreadable: Sequence[Unreadable] = (),
) -> None:
    """Store `events`, which end at byte `offset`; those stored before are skipped."""
    if not unreadable and are_known(claim.run_id, events):
        _show(source, events, offset, claim)
        return
    keys: dict[str, str] = {}
    events = store_files(source.directory, events, keys)
    with transaction.atomic():
        run = lock_run(claim.run_id)
        guard(claim)
        attempt = Attempt.objects.select_related("shard").get(pk=source.attempt_id)
        new = _in_order(events, attempt.ingested_seq)
        if new:
            context = IngestContext(run, attempt.shard, attempt, source.directory, keys)
            _store(context, new)
        _tell(run, attempt, unreadable)
        seq = new[-1].seq if new else attempt.ingested_seq
        Attempt.objects.filter(pk=attempt.pk).update(ingested_seq=seq, ingested_offset=offset)


def _show(source: Source, views: list[Event], offset: int, claim: Claim) -> None:
    """Take in a batch of nothing but pictures of known games, as four of five are while they play.

    They have no place in the run's events: its row is neither read nor locked, the shard's is. A
    game's first picture comes the long way: its new row locks the run, which goes before the shard.
    """
    with transaction.atomic():
        guard(claim)
        attempt = Attempt.objects.filter(pk=source.attempt_id)
        seq = attempt.values_list("ingested_seq", flat=True).get()
        new = _in_order(views, seq)
        if new:
            merge_views(claim.run_id, claim.shard_id, new)
            bell.ring("live")
        attempt.update(ingested_seq=new[-1].seq if new else seq, ingested_offset=offset)


def _tell(run: Run, attempt: Attempt, unreadable: Sequence[Unreadable]) -> None:
    """Name what was left out; of a file that is garbage as a whole only the first lines."""
    for found in unreadable[:MAX_TOLD]:
        words = f"Attempt {attempt.number}, events.jsonl line {found.line} is no event"
        message = f"{words} and was skipped: {found.reason}."
        add_event(run, "log", {"level": "warning", "message": message})
    if len(unreadable) > MAX_TOLD:
        words = f"Attempt {attempt.number}: {len(unreadable) - MAX_TOLD} more lines were no events."
        add_event(run, "log", {"level": "warning", "message": words})


def _in_order(events: list[Event], last: int) -> list[Event]:
    """Those behind seq `last`; a line that stands in the file twice counts once."""
    new = []
    for event in events:
        if event.seq > last:
            new.append(event)
            last = event.seq
    return new


def _store(context: IngestContext, events: list[Event]) -> None:
    """Make all rows of new events, in the order that foreign keys and notes need."""
    by_type: dict[str, list[Event]] = {}
    for event in events:
        by_type.setdefault(event.type, []).append(event)
    context.seqs = take_seqs(context.run, events)
    for type_, some in by_type.items():
        if type_ in HANDLERS:
            HANDLERS[type_](context, some)
    add_points(context, by_type.get("metric", []))
    merge_views(context.run.pk, context.shard.pk, by_type.get("view", []))
    drop_views(context.run.pk, by_type.get("episode", []))
    add_artifacts(context, by_type.get("artifact", []))
    keep_progress(context, by_type.get("progress", []))
    keep_result(context, by_type.get("result", []))
    add_event_rows(context, events)
    _ring(context, set(by_type))


def _ring(context: IngestContext, types: set[str]) -> None:
    """Tell waiting readers, after the commit, which of them have something new."""
    if types - {"view"}:
        bell.ring(f"run:{context.run.pk}")
    if types & {"view", "episode"}:
        bell.ring("live")
