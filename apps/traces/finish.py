"""What becomes of a run of games, or of a verification, when all its shards have ended."""

from __future__ import annotations

from typing import Any

from apps.runs import storage
from apps.runs.models import Run, RunState, ShardState
from apps.traces.queries.scores import run_scores
from apps.traces.services import apply_verify


def finish_games(run: Run) -> dict[str, Any]:
    """The result of an eval or rollout: its scores, also when only a part was played."""
    scores = run_scores(run)
    scores["leaked"] = bool(run.leaked_seeds)
    scores["leaked_seeds"] = list(run.leaked_seeds)
    return scores


def finish_import(run: Run) -> dict[str, Any]:
    """What was imported, and its scores. The uploaded file goes: its sessions are episodes now."""
    first = run.episodes.order_by("id").only("task", "model").first()
    if first is not None and not run.task:
        run.task, run.model = first.task, first.model
        Run.objects.filter(pk=run.pk).update(task=run.task, model=run.model)
    counts = run.shards.values_list("result", flat=True).first() or {}
    if run.shards.filter(state=ShardState.SUCCEEDED).exists():
        _drop_upload(run)
    return {
        **run_scores(run),
        "sessions": counts.get("sessions", run.episodes.count()),
        "imported": run.episodes.count(),
        "verified": run.episodes.filter(verified=True).count(),
    }


def _drop_upload(run: Run) -> None:
    """Delete the file that a run imported, unless another import still waits for it."""
    key = run.inputs.get("file", {}).get("storage_key")
    live = (RunState.DRAFT, RunState.QUEUED, RunState.RUNNING, RunState.CANCELLING)
    others = Run.objects.filter(kind=run.kind, state__in=live).exclude(pk=run.pk)
    if key and not others.filter(inputs__file__storage_key=key).exists():
        storage.delete(key)


def finish_verify(run: Run) -> dict[str, Any]:
    """The reports of a verification; what they say is written into the episodes."""
    reports: list[dict[str, Any]] = []
    for values in run.shards.order_by("index").values_list("result", flat=True):
        apply_verify(run=run, values=values)
        reports += values.get("reports", [])
    n_ok = sum(bool(report["ok"]) for report in reports)
    return {"reports": reports, "n_ok": n_ok, "n_bad": len(reports) - n_ok}
