"""Curves of a run: their names with the newest figures, and points fit for a screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from apps.runs.models import MetricPoint, MetricSeries, Run


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
    ids = list(series.values_list("id", "name"))
    share = max(4, max_points // max(1, len(ids)))
    found: list[PointRow] = []
    for series_id, name in ids:
        points = MetricPoint.objects.filter(series=series_id, seq__gt=max(0, min(after, 2**62)))
        rows = points.order_by("step", "id").values_list("step", "value", "at", "seq")
        found += reduce_points([PointRow(name, *row) for row in rows.iterator(5000)], share)
    return found


def reduce_points(points: list[PointRow], share: int) -> list[PointRow]:
    """At most `share` (≥4) of the points, keeping every stretch's minimum and maximum."""
    if len(points) <= share:
        return points
    n_stretches = (share - 2) // 2
    inner = points[1:-1]
    kept = [points[0]]
    for i in range(n_stretches):
        stretch = inner[i * len(inner) // n_stretches : (i + 1) * len(inner) // n_stretches]
        kept += _extremes(stretch)
    return [*kept, points[-1]]


def _extremes(stretch: Sequence[PointRow]) -> Iterable[PointRow]:
    """The lowest and the highest point of a stretch, in the order of their steps."""
    low = min(range(len(stretch)), key=lambda i: stretch[i].value)
    high = max(range(len(stretch)), key=lambda i: stretch[i].value)
    return [stretch[i] for i in sorted({low, high})]
