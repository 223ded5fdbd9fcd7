"""What happened in a run, as one sequence without gaps.

Event rows and metric points share the run-wide seq; metric events are put together again from
their points, so that a million of them are stored once. Views are never in it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from apps.runs.models import Event, MetricPoint, Run
from apps.runs.paging import check_limit


class EventRow(NamedTuple):
    """One event. `seq` counts up by one within the run, whatever made it."""

    seq: int
    type: str
    data: dict[str, Any]
    at: datetime


def list_events(
    *, run: Run, after: int = 0, limit: int = 500, types: Collection[str] | None = None
) -> list[EventRow]:
    """At most `limit` events behind `after`, oldest first; only of `types` where given.

    Without `types` the answer is dense: seqs have no gaps, so `limit` of them are one range of
    both tables. An empty list means that nothing is behind `after`.
    """
    check_limit(limit)
    after = max(0, min(after, 2**62))
    if types is not None and "metric" not in types:
        rows = Event.objects.filter(run=run, seq__gt=after, type__in=list(types)).order_by("seq")
        return [_row(event) for event in rows[:limit]]
    if types is not None and set(types) == {"metric"}:
        return _metrics(run, after, _metric_end(run, after, limit))
    found: list[EventRow] = []
    last = Run.objects.values_list("event_seq", flat=True).get(pk=run.pk)
    while after < last and len(found) < limit:
        until = after + limit - len(found)
        rows = Event.objects.filter(run=run, seq__gt=after, seq__lte=until)
        some = [_row(e) for e in rows if types is None or e.type in types]
        found += sorted(some + _metrics(run, after, until))
        after = until
    return found


def _row(event: Event) -> EventRow:
    return EventRow(event.seq, event.type, event.data, event.at)


def _metric_end(run: Run, after: int, limit: int) -> int:
    """The seq of the `limit`-th metric event behind `after`; `after` when there is none."""
    seqs = (
        MetricPoint.objects.filter(series__run=run, seq__gt=after)
        .order_by("seq")
        .values_list("seq", flat=True)
        .distinct()[:limit]
    )
    return max(seqs, default=after)


def _metrics(run: Run, after: int, until: int) -> list[EventRow]:
    """Metric events with after < seq ≤ until: {step, values}, oldest first."""
    points = MetricPoint.objects.filter(series__run=run, seq__gt=after, seq__lte=until)
    events: dict[int, EventRow] = {}
    for seq, step, name, value, at in points.order_by("seq", "id").values_list(
        "seq", "step", "series__name", "value", "at"
    ):
        row = events.setdefault(seq, EventRow(seq, "metric", {"step": step, "values": {}}, at))
        row.data["values"][name] = value
    return list(events.values())
