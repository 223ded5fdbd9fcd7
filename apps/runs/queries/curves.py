"""Curves of a run: their names with the newest figures, and points fit for a screen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from django.db.models import QuerySet

from apps.runs.models import MetricPoint, MetricSeries, Run

MAX_IDS = 5_000  # of one query: SQLite allows 32,766 values
FIELDS = ("series_id", "step", "value", "at", "seq")


class SeriesRow(NamedTuple):
    """One curve as a tile shows it."""

    name: str
    n_points: int
    last_step: int
    last_value: float
    min_value: float
    max_value: float


class PointRow(NamedTuple):
    """One value. `seq` is the cursor of live curves: ask again with `after` = the largest seen."""

    name: str
    step: int
    value: float
    at: datetime
    seq: int


def list_series(*, run: Run) -> list[SeriesRow]:
    """The curves of a run by name."""
    rows = MetricSeries.objects.filter(run=run).order_by("name")
    return [SeriesRow(*row) for row in rows.values_list(*SeriesRow._fields)]


def list_points(
    *, run: Run, names: Sequence[str] | None = None, after: int = 0, max_points: int = 3000
) -> list[PointRow]:
    """Points behind seq `after`, by name and step; at most about `max_points` in all.

    A longer curve is reduced to the lowest and the highest point of each stretch, in order, with
    its first and last: spikes stay visible. Unknown names give nothing.
    """
    series = MetricSeries.objects.filter(run=run).order_by("name")
    if names is not None:
        series = series.filter(name__in=list(names))
    named = dict(series.values_list("id", "name"))
    points = MetricPoint.objects.filter(series__in=list(named))
    if after > 0:
        points = points.filter(seq__gt=min(after, 2**62))
    share = max(4, max_points // max(1, len(named)))
    kept = _kept(points.order_by("series_id", "step"), share)
    found: dict[int, list[PointRow]] = {pk: [] for pk in named}
    for begin in range(0, len(kept), MAX_IDS):
        rows = MetricPoint.objects.filter(pk__in=kept[begin : begin + MAX_IDS])
        for point in rows.order_by("series_id", "step", "id").values_list(*FIELDS):
            pk, step, value, at, seq = point
            found[pk].append(PointRow(named[pk], step, value, at, seq))
    return [point for some in found.values() for point in some]


def _kept(points: QuerySet[MetricPoint], share: int) -> list[int]:
    """The ids of at most `share` points of each series. Only values are read: 100 k in 0.1 s."""
    rows = points.values_list("series_id", "value", "id").iterator(5000)
    kept: list[int] = []
    for _, some in groupby(rows, key=itemgetter(0)):
        curve = list(some)
        kept += [curve[i][2] for i in reduce_points([value for _, value, _ in curve], share)]
    return kept


def reduce_points(values: Sequence[float], share: int) -> list[int]:
    """The places of at most `share` (≥4) of them, with every stretch's minimum and maximum."""
    if len(values) <= share:
        return list(range(len(values)))
    n_stretches = (share - 2) // 2
    n_inner = len(values) - 2
    kept = [0]
    for i in range(n_stretches):
        begin, end = 1 + i * n_inner // n_stretches, 1 + (i + 1) * n_inner // n_stretches
        stretch = values[begin:end]
        low, high = stretch.index(min(stretch)), stretch.index(max(stretch))
        kept += [begin + place for place in sorted({low, high})]
    return [*kept, len(values) - 1]
