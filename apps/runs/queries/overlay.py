"""Curves of several runs over each other, reduced in the database to what a screen can show.

A long curve is cut into stretches of steps; of each stretch come its mean, its lowest and its
highest value, so that a spike stays visible however many points lie under it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, cast

from django.db import connection
from django.db.models import Count, Sum

from apps.runs.models import MetricPoint, MetricSeries, Run

MAX_POINTS = 3000  # of one chart, over all its lines
MAX_STRETCHES = 400  # of one line
X = Literal["step", "time", "tokens"]
TOKENS = "tokens"


class NameRow(NamedTuple):
    """A metric that some of the runs have."""

    name: str
    n_runs: int
    n_points: int


class Line(NamedTuple):
    """One metric of one run. x: steps, seconds since the run began, or tokens; low and high are
    the extremes of the stretch that each mean stands for."""

    run_id: int
    name: str
    x: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]


class _Stretch(NamedTuple):
    series_id: int
    step: int
    mean: float
    low: float
    high: float
    at: datetime


def list_names(*, runs: Sequence[Run]) -> list[NameRow]:
    """The metrics of these runs, those that most of them have first."""
    rows = MetricSeries.objects.filter(run__in=[run.pk for run in runs]).values("name")
    counted = rows.annotate(n_runs=Count("run"), n=Sum("n_points")).order_by("-n_runs", "name")
    return [NameRow(row["name"], row["n_runs"], row["n"]) for row in counted]


def list_lines(
    *, runs: Sequence[Run], names: Sequence[str], x: X = "step", first: int = 0, last: int = 2**62
) -> list[Line]:
    """The lines of these metrics, at steps `first` to `last`, in the order of runs.

    Two queries, three with x = tokens; the database reads each point once.
    """
    started = {run.pk: run.started_at for run in runs}
    series = {
        row.pk: row
        for row in MetricSeries.objects.filter(run__in=list(started), name__in=list(names))
    }
    tokens = _tokens(list(started)) if x == "tokens" else {}
    lines = {}
    for pk, found in _read(list(series.values()), len(names), first, last).items():
        run_id = series[pk].run_id
        lines[series[pk].name, run_id] = Line(
            run_id,
            series[pk].name,
            _places(found, x, started[run_id], tokens.get(run_id, ([], []))),
            [row.mean for row in found],
            [row.low for row in found],
            [row.high for row in found],
        )
    order = [(name, run.pk) for name in names for run in runs]
    return [lines[key] for key in order if key in lines]


def _places(
    found: list[_Stretch], x: X, started: datetime | None, tokens: tuple[list[int], list[float]]
) -> list[float]:
    if x == "time":
        zero = started or found[0].at
        return [round((row.at - zero).total_seconds(), 3) for row in found]
    if x == "tokens":
        steps, counts = tokens
        before = [bisect_right(steps, row.step) - 1 for row in found]
        return [counts[i] if i >= 0 else 0.0 for i in before]
    return [float(row.step) for row in found]


def _read(
    series: list[MetricSeries], n_charts: int, first: int, last: int
) -> dict[int, list[_Stretch]]:
    """The stretches of each series, in order of steps."""
    if not series:
        return {}
    lines_a_chart = max(1, len(series) // max(1, n_charts))
    n = max(20, min(MAX_STRETCHES, MAX_POINTS // lines_a_chart))
    point, of = (
        connection.ops.quote_name(model._meta.db_table) for model in (MetricPoint, MetricSeries)
    )
    marks = ", ".join(["%s"] * len(series))
    sql = f"""
        SELECT p.series_id, MAX(p.step), AVG(p.value), MIN(p.value), MAX(p.value), MAX(p.at)
        FROM {point} p JOIN {of} s ON s.id = p.series_id
        WHERE p.series_id IN ({marks}) AND p.step BETWEEN %s AND %s
        GROUP BY p.series_id,
                 (p.step - %s) * %s / NULLIF(
                     CASE WHEN s.last_step < %s THEN s.last_step ELSE %s END - %s + 1, 0)
        ORDER BY p.series_id, MAX(p.step)"""  # noqa: S608
    ids = [row.pk for row in series]
    found: defaultdict[int, list[_Stretch]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(sql, [*ids, first, last, first, n, last, last, first])
        for row in cursor.fetchall():
            found[row[0]].append(_Stretch(row[0], row[1], row[2], row[3], row[4], _moment(row[5])))
    return dict(found)


def _moment(value: Any) -> datetime:
    """A time as a bare cursor gives it: SQLite has text, in UTC."""
    if isinstance(value, str):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    return cast(datetime, value)


def _tokens(run_ids: list[int]) -> dict[int, tuple[list[int], list[float]]]:
    """Run → (steps, tokens so far), as its `tokens` metric has them."""
    series = list(MetricSeries.objects.filter(run__in=run_ids, name=TOKENS))
    read = _read(series, 1, 0, 2**62)
    return {
        row.run_id: ([s.step for s in read[row.pk]], [s.high for s in read[row.pk]])
        for row in series
        if row.pk in read
    }


def to_json(line: Line) -> dict[str, Any]:
    """A line for a chart; extremes only where they say more than the mean."""
    whole = line.low == line.high == line.mean
    answer = {"run": line.run_id, "name": line.name, "x": line.x, "y": line.mean}
    return answer if whole else {**answer, "low": line.low, "high": line.high}
