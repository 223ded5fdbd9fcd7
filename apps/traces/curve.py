"""What the curves of a run show while it plays: running means over the episodes of all its shards.

Lives here: rows -> one point a name. The engine tells the same names of one shard
(`engine/rollout/report.py`); means over a whole run need all of its rows.
"""

from __future__ import annotations

from django.db.models import Count, Q, Sum
from django.utils.timezone import now

from apps.runs.models import Run
from apps.traces.models import Episode


def run_curve(run: Run) -> tuple[int, dict[str, float]]:
    """(episodes finished so far, values). Broken episodes are counted and never scored.

    Speeds are of what was finished since the run was last started.
    """
    scored, lately = Q(broken=False), Q(started_at__gte=run.started_at or now())
    sums = Episode.objects.filter(run=run).aggregate(
        n_finished=Count("id", filter=~Q(ended="cancelled")),
        n_scored=Count("id", filter=scored),
        n_broken=Count("id", filter=~scored),
        sum_achievements=Sum("n_achievements", filter=scored, default=0),
        sum_returns=Sum("episode_return", filter=scored, default=0.0),
        n_failed=Sum("n_failed_calls", default=0),
        sum_calls=Sum("n_turns", filter=lately, default=0),
        sum_steps=Sum("n_steps", filter=lately, default=0),
    )
    n_scored = max(1, sums["n_scored"])
    seconds = max(1e-3, (now() - run.started_at).total_seconds()) if run.started_at else 1.0
    return max(1, sums["n_finished"]), {
        "episodes.achievements": sums["sum_achievements"] / n_scored,
        "episodes.return": sums["sum_returns"] / n_scored,
        "episodes.broken": float(sums["n_broken"]),
        "calls.failed": float(sums["n_failed"]),
        "calls.per_second": sums["sum_calls"] / seconds,
        "steps.per_second": sums["sum_steps"] / seconds,
    }
