"""What runs do right now: games in progress, and the shape of a run's first curve."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from apps.accounts.errors import not_found
from apps.accounts.models import Project
from apps.runs.models import LiveView, MetricPoint, MetricSeries

SPARK_POINTS = 48
# Which curve stands for a run, best first; a run without any of them shows its first by name.
SPARK_NAMES = (
    "episodes.achievements",
    "episodes.accuracy",
    "train.reward",
    "val.loss",
    "train.loss",
)


class LiveRow(NamedTuple):
    """A game that plays: its newest picture (base64) and what it has reached."""

    id: int
    run_id: int
    run_name: str
    key: str
    seed: int
    repeat: int
    policy_version: int
    model: str
    step: int
    n_turns: int
    episode_return: float
    unlocks: list[str]
    view: str
    call: str
    updated_at: datetime


def list_live(*, project: Project, run_id: int | None = None, limit: int = 120) -> list[LiveRow]:
    """The project's games in progress, newest first."""
    rows = LiveView.objects.filter(run__project=project).select_related("run").order_by("-id")
    if run_id is not None:
        rows = rows.filter(run_id=run_id)
    return [_live_row(row) for row in rows[:limit]]


def get_live(*, project: Project, live_id: int) -> LiveRow:
    """One game in progress. Raises Refused(404) when it has ended."""
    rows = LiveView.objects.filter(run__project=project, pk=live_id).select_related("run")
    row = rows.first()
    if row is None:
        raise not_found("running game", live_id)
    return _live_row(row)


def list_sparks(*, run_ids: Sequence[int]) -> dict[int, list[float]]:
    """Run id → the newest values of the curve that stands for it; runs without one are left out.

    One query, and one more for each curve that has grown since this process last showed it.
    """
    best: dict[int, tuple[int, _Newest]] = {}
    rows = MetricSeries.objects.filter(run_id__in=list(run_ids)).order_by("run_id", "name")
    fields = ("run_id", "name", "id", "n_points", "last_step", "last_value")
    for run_id, name, *newest in rows.values_list(*fields):
        rank = SPARK_NAMES.index(name) if name in SPARK_NAMES else len(SPARK_NAMES)
        if run_id not in best or rank < best[run_id][0]:
            best[run_id] = (rank, _Newest(*newest))
    return {run_id: _newest_values(newest) for run_id, (_, newest) in best.items()}


class _Newest(NamedTuple):
    """A series and what changes when it grows; a point once written is never changed."""

    series_id: int
    n_points: int
    last_step: int
    last_value: float


@lru_cache(maxsize=1000)
def _newest_values(newest: _Newest) -> list[float]:
    points = MetricPoint.objects.filter(series_id=newest.series_id).order_by("-step")
    return list(points.values_list("value", flat=True)[:SPARK_POINTS])[::-1]


def _which(key: str) -> tuple[int, int]:
    """(repeat, policy version) of an episode key; (0, 0) of one that an engine wrote wrongly."""
    try:
        *_, repeat, policy_version = json.loads(key)
        return int(repeat), int(policy_version)
    except (ValueError, TypeError):
        return 0, 0


def _live_row(row: LiveView) -> LiveRow:
    data: dict[str, Any] = row.data
    views = data.get("views", [])
    repeat, policy_version = _which(row.key)
    return LiveRow(
        id=row.pk,
        run_id=row.run_id,
        run_name=row.run.name,
        key=row.key,
        seed=row.seed,
        repeat=repeat,
        policy_version=policy_version,
        model=row.model,
        step=int(data.get("first_step", 0)) + max(0, len(views) - 1),
        n_turns=int(data.get("n_turns", 0)),
        episode_return=float(data.get("past_return", 0) + sum(data.get("rewards", []))),
        unlocks=[name for name, _ in data.get("unlocks", [])],
        view=views[-1] if views else "",
        call=str(data.get("call", "")),
        updated_at=row.updated_at,
    )
