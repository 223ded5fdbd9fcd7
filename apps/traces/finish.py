"""What becomes of a run of games, or of a verification, when all its shards have ended."""

from __future__ import annotations

from typing import Any

from apps.runs.models import Run
from apps.traces.queries.scores import run_scores
from apps.traces.services import apply_verify


def finish_games(run: Run) -> dict[str, Any]:
    """The result of an eval or rollout: its scores, also when only a part was played."""
    scores = run_scores(run)
    scores["leaked"] = bool(run.leaked_seeds)
    scores["leaked_seeds"] = list(run.leaked_seeds)
    return scores


def finish_verify(run: Run) -> dict[str, Any]:
    """The reports of a verification; what they say is written into the episodes."""
    reports: list[dict[str, Any]] = []
    for values in run.shards.order_by("index").values_list("result", flat=True):
        apply_verify(run=run, values=values)
        reports += values.get("reports", [])
    n_ok = sum(bool(report["ok"]) for report in reports)
    return {"reports": reports, "n_ok": n_ok, "n_bad": len(reports) - n_ok}
