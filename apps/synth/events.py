"""What happens in a job, in Synth's words: events, points, timeline, checkpoints.

A job of several runs (the starting model first, then the training) is one sequence: a run's seqs go
on behind those of the runs before it, which are over and get no more.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils.timezone import now

from apps.checkpoints.models import Checkpoint
from apps.runs.models import MetricPoint, Run, RunState
from apps.runs.queries import EventRow, list_events
from apps.runs.services import add_event
from apps.runs.services.states import OVER, lock_run
from apps.synth import queries
from apps.synth.models import SynthJob

# Clients give up after 45 s (JobHandle) or 5 polls of 2 s (RlClient) without a new event.
LIVENESS = timedelta(seconds=5)
WAITING = "waiting"
# Events that end a client's wait, by the kind of the job; others are `<kind>.<word>`.
ENDINGS = {
    ("sft", "succeeded"): "sft.completed",
    ("rl", "succeeded"): "rl.job.completed",
    ("sft", "failed"): "sft.failed",
    ("rl", "failed"): "rl.job.failed",
}
TIMELINE = ("state", "checkpoint", "result")


def events_of(
    job: SynthJob, *, since_seq: int = 0, limit: int = 200, types: tuple[str, ...] | None = None
) -> list[dict[str, Any]]:
    """Events with seq > since_seq, ascending, at most `limit`."""
    found: list[dict[str, Any]] = []
    before = 0
    for run in queries.runs_of(job):
        if since_seq < before + run.event_seq and len(found) < limit:
            after = max(0, since_seq - before)
            rows = list_events(run=run, after=after, limit=limit - len(found), types=types)
            found += [_event(job, run, row, before) for row in rows]
        before += run.event_seq
    return found


def keep_alive(job: SynthJob) -> None:
    """Store an event if the job goes on and its last one is older than 5 s.

    Called whenever a client asks for events, so they are stored only while one waits. Any number
    may call this at once: the run's row is locked, and who comes second finds a new event.
    """
    run = next(reversed(queries.runs_of(job)), None)
    if run is None or run.state in (*OVER, RunState.DRAFT):
        return
    with transaction.atomic():
        row = lock_run(run.pk)
        newest = list_events(run=row, after=max(0, row.event_seq - 1), limit=1)
        if row.state not in OVER and (not newest or newest[-1].at < now() - LIVENESS):
            add_event(row, WAITING, {"state": row.state, "done": row.progress_done,
                                     "total": row.progress_total})  # fmt: skip


def points_of(
    job: SynthJob, *, after_step: int = -1, limit: int = 200, name: str = ""
) -> list[dict[str, Any]]:
    """Points with step > after_step, by step; at most about `limit`, a step never cut in two.

    Clients ask next behind the highest step that they saw, whatever the name: a step that came
    in parts would lose its rest. They drop step 0, so it is not sent.
    """
    runs = queries.runs_of(job)
    rows = MetricPoint.objects.filter(series__run__in=runs[-1:])
    rows = rows.filter(step__gt=max(0, min(after_step, 2**62))).order_by("step", "id")
    rows = rows.exclude(series__name__startswith="system.")  # their steps are seconds
    if name:
        rows = rows.filter(series__name=name.replace("\0", ""))
    values = rows.values_list("series__name", "step", "value", "at")
    found = list(values[: limit + 1])
    if len(found) > limit:
        last = found[-1][1]
        whole = [row for row in found if row[1] < last]
        found = whole or list(values.filter(step=last))
    return [
        {"name": row[0], "step": row[1], "value": row[2], "created_at": row[3].isoformat()}
        for row in found
    ]


def checkpoints_of(job: SynthJob, *, limit: int = 10) -> list[dict[str, Any]]:
    """The checkpoints of a job, newest first, those that only serve resume included."""
    runs = [run for run in queries.runs_of(job) if run.kind == job.kind]
    rows = Checkpoint.objects.filter(run__in=runs, deleted_at=None).order_by("-step", "-id")
    return [
        {
            "id": row.uid,
            "object": "checkpoint",
            "job_id": job.job_id,
            "model_id": row.model_id,
            "step": row.step,
            "final": row.final,
            "metrics": row.metrics,
            "created_at": queries.epoch_of(row.created_at),
        }
        for row in rows[:limit]
    ]


def is_terminal(event: dict[str, Any]) -> bool:
    """Whether nothing follows this event."""
    return event["type"] in (*ENDINGS.values(), "sft.cancelled", "rl.cancelled")


def _event(job: SynthJob, run: Run, row: EventRow, before: int) -> dict[str, Any]:
    type_, message, data = _words(job, run, row)
    return {
        "seq": before + row.seq,
        "type": type_,
        "message": message,
        "data": data,
        "level": str(row.data.get("level", "info")) if row.type == "log" else "info",
        "job_id": job.job_id,
        "created_at": row.at.isoformat(),
    }


def _words(job: SynthJob, run: Run, row: EventRow) -> tuple[str, str, dict[str, Any]]:
    """(type, message, data) of one of our events."""
    data = row.data
    match row.type:
        case "state":
            return _state(job, run, data)
        case "log":
            return f"{job.kind}.log", str(data.get("message", "")), data
        case "metric":
            values = ", ".join(f"{name} {value:.4g}" for name, value in data["values"].items())
            return f"{job.kind}.metrics", f"step {data['step']}: {values}", data
        case "progress":
            words = f"{data.get('done')} of {data.get('total')} {data.get('unit', '')}".strip()
            return f"{job.kind}.progress", words, data
        case "waiting":
            return f"{job.kind}.waiting", f"still {data.get('state')}", data
        case _:
            return f"{job.kind}.{row.type}", row.type, data


def _state(job: SynthJob, run: Run, data: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """A change of state. Only that of the run that trains the model ends the job."""
    state = str(data.get("state"))
    base = run.inputs.get("base", {})
    names = {"model": job.model, "base_model_resolved": base.get("base_model_resolved")}
    if run.kind != job.kind and state == "succeeded":
        return f"{job.kind}.stage.completed", f"{run.name} is done", {**names, "run": run.pk}
    told: dict[str, Any] = {**data, **names}
    message = " ".join([f"{run.name}: {state}.", *run.warnings])
    if state == "succeeded":
        model = queries.model_of([run])
        told["fine_tuned_model"] = model.model_id if model else None
        message = f"{run.name} is done: {told['fine_tuned_model']}"
    if state == "failed":
        message = str((data.get("error") or {}).get("message", message))
    return ENDINGS.get((job.kind, state), f"{job.kind}.{state}"), message, told
