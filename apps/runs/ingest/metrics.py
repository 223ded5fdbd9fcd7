"""Metric events → points and what tiles show of a curve.

The hot path of ingest: rows go in by one `executemany`, because building model instances costs
four times the insert (bench/ingest.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from django.db import connection, transaction
from django.utils.timezone import now

from apps.runs.clock import from_epoch
from apps.runs.ingest.context import CURVES, IngestContext
from apps.runs.models import MetricPoint, MetricSeries, Run, Shard
from apps.runs.services.states import next_seqs
from engine.events import Event

MAX_NAME = 120
MAX_SERIES = 2_000  # of one run; further names are dropped, a job must not make names of numbers

Values = list[tuple[int, float, Any, int]]  # step, value, at, seq


def add_points(context: IngestContext, events: list[Event]) -> None:
    """Store all values of `events`. Values that are not finite are left out.

    Shards of a run would mix in one curve: each counts and averages its own episodes only. So a run
    of several that has a curve over all of them (CURVES) gets that one, at the last event's place.
    """
    if not events:
        return
    curve = CURVES.get(context.run.kind)
    if curve and Shard.objects.filter(run=context.run, index__gt=0).exists():
        step, values = curve(context.run)
        events = [events[-1]._replace(data={"step": step, "values": values})]
    curves: dict[str, Values] = {}
    for event in events:
        at = connection.ops.adapt_datetimefield_value(from_epoch(event.at))
        step, seq = int(event.data["step"]), context.seqs[event.seq]
        for name, value in _values(event).items():
            if isfinite(value):
                curves.setdefault(name[:MAX_NAME], []).append((step, value, at, seq))
    _insert(context.run, curves)


def add_values(run: Run, *, step: int, values: Mapping[str, float]) -> None:
    """Store what our own side measured of a run, as an event of its own: with the next seq."""
    with transaction.atomic():
        seq = next_seqs(run.pk, 1)
        at = connection.ops.adapt_datetimefield_value(now())
        _insert(run, {name: [(step, value, at, seq)] for name, value in values.items()})


def _insert(run: Run, curves: dict[str, Values]) -> None:
    series = _series(run, curves)
    rows = [
        (series[name].pk, *point)
        for name, points in curves.items()
        if name in series
        for point in points
    ]
    table = connection.ops.quote_name(MetricPoint._meta.db_table)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} (series_id, step, value, at, seq) VALUES (%s, %s, %s, %s, %s)",  # noqa: S608
            rows,
        )


def _values(event: Event) -> Mapping[str, float]:
    """What was measured; the tokens so far become a curve, the axis of others."""
    tokens = event.data.get("tokens")
    values: Mapping[str, float] = event.data["values"]
    return values if tokens is None else {**values, "tokens": float(tokens)}


def _series(run: Run, curves: dict[str, Values]) -> dict[str, MetricSeries]:
    """The series' rows, made where missing, with their figures brought up to date.

    The run's row is locked, so no other batch of this run can make or change them meanwhile.
    """
    known = {s.name: s for s in MetricSeries.objects.filter(run=run, name__in=list(curves))}
    room = MAX_SERIES - MetricSeries.objects.filter(run=run).count()
    missing = [name for name in curves if name not in known][: max(0, room)]
    made = MetricSeries.objects.bulk_create(MetricSeries(run=run, name=n) for n in missing)
    known.update({s.name: s for s in made})
    for name, row in known.items():
        _count(row, curves[name])
    fields = ["n_points", "last_step", "last_value", "min_value", "max_value"]
    MetricSeries.objects.bulk_update(known.values(), fields)
    return known


def _count(row: MetricSeries, points: Values) -> None:
    values = [point[1] for point in points]
    low, high = min(values), max(values)
    row.min_value = min(row.min_value, low) if row.n_points else low
    row.max_value = max(row.max_value, high) if row.n_points else high
    row.n_points += len(points)
    row.last_step, row.last_value = points[-1][0], points[-1][1]
