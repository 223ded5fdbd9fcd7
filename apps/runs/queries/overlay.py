"""Curves of several runs over each other, reduced in the database to what a screen can show.

A long curve is cut into stretches of steps; of each stretch come its mean, its lowest and its
highest value, so that a spike stays visible however many points lie under it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from django.db import connection
from django.db.models import Count, Sum

from apps.runs.models import MetricPoint, MetricSeries, Run

MAX_POINTS = 3000  # of one chart, over all its lines
MAX_STRETCHES = 400  # of one line
MIN_STRETCHES = 20
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


class _Found(NamedTuple):
    """The stretches of a series, in order of steps. at: only for x = time."""

    steps: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]
    at: list[datetime]


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
    for pk, found in _read(list(series.values()), x, first, last).items():
        run_id = series[pk].run_id
        lines[series[pk].name, run_id] = Line(
            run_id,
            series[pk].name,
            _places(found, x, started[run_id], tokens.get(run_id, ([], []))),
            found.mean,
            found.low,
            found.high,
        )
    order = [(name, run.pk) for name in names for run in runs]
    return [lines[key] for key in order if key in lines]


def _places(
    found: _Found, x: X, started: datetime | None, tokens: tuple[list[int], list[float]]
) -> list[float]:
    if x == "time":
        zero = started or found.at[0]
        return [round((at - zero).total_seconds(), 3) for at in found.at]
    if x == "tokens":
        steps, counts = tokens
        before = [bisect_right(steps, step) - 1 for step in found.steps]
        return [counts[i] if i >= 0 else 0.0 for i in before]
    return [*found.steps]


def _read(series: list[MetricSeries], x: X, first: int, last: int) -> dict[int, _Found]:
    """The stretches of each series that has points there."""
    if not series:
        return {}
    lines_a_chart = len(series) // len({row.name for row in series})
    n = max(MIN_STRETCHES, min(MAX_STRETCHES, MAX_POINTS // lines_a_chart))
    read: defaultdict[int, _Found] = defaultdict(lambda: _Found([], [], [], [], []))
    with connection.cursor() as cursor:
        cursor.execute(_sql([row.pk for row in series], n, x), {"first": first, "last": last})
        for pk, figures, *at in cursor:
            if figures is None:
                continue
            found = read[pk]
            step, mean, low, high = figures.split()
            found.steps.append(int(step))
            found.mean.append(float(mean))
            found.low.append(float(low))
            found.high.append(float(high))
            found.at.extend(map(_moment, at))
    return dict(read)


def _sql(ids: list[int], n: int, x: X) -> str:
    """The query for `n` stretches of each series, from step %(first)s to %(last)s.

    Each stretch is one search of the index `point_by_step`, which holds the values too: a GROUP BY
    sorts all points first (2 M points on SQLite: 1.0 s, here 0.5 s). The figures come as one text,
    because a subquery has one value. MATERIALIZED and CROSS JOIN keep SQLite at series by series.
    """
    point = connection.ops.quote_name(MetricPoint._meta.db_table)
    stretch = f"""FROM {point} p WHERE p.series_id = c.id
        AND p.step >= %(first)s + (k.i * c.span + c.n - 1) / c.n
        AND p.step < %(first)s + ((k.i + 1) * c.span + c.n - 1) / c.n"""
    at = f", (SELECT p.at {stretch} ORDER BY p.step DESC LIMIT 1)" if x == "time" else ""
    return f"""
        WITH RECURSIVE k(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM k WHERE i < {n - 1}),
        s(id) AS (VALUES {", ".join(f"({int(pk)})" for pk in ids)}),
        spans AS MATERIALIZED (SELECT s.id, (
            SELECT MAX(p.step) FROM {point} p WHERE p.series_id = s.id AND p.step <= %(last)s
        ) - %(first)s + 1 AS span FROM s),
        c AS MATERIALIZED (
            SELECT id, span, CASE WHEN span < {n} THEN span ELSE {n} END AS n FROM spans)
        SELECT c.id, (SELECT MAX(p.step) || ' ' || AVG(p.value) || ' ' || MIN(p.value) || ' '
                             || MAX(p.value) {stretch}){at}
        FROM c CROSS JOIN k WHERE k.i < c.n
        ORDER BY c.id, k.i"""  # noqa: S608


def _moment(value: datetime) -> datetime:
    """A time as a bare cursor gives it: SQLite's knows no zone, it is UTC."""
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _tokens(run_ids: list[int]) -> dict[int, tuple[list[int], list[float]]]:
    """Run → (steps, tokens so far), as its `tokens` metric has them."""
    series = list(MetricSeries.objects.filter(run__in=run_ids, name=TOKENS))
    read = _read(series, "step", 0, 2**62)
    return {row.run_id: (read[row.pk].steps, read[row.pk].high) for row in series if row.pk in read}


def to_json(line: Line) -> dict[str, Any]:
    """A line for a chart; extremes only where they say more than the mean."""
    whole = line.low == line.high == line.mean
    answer = {"run": line.run_id, "name": line.name, "x": line.x, "y": line.mean}
    return answer if whole else {**answer, "low": line.low, "high": line.high}
