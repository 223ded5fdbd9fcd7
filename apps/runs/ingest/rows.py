"""Event rows, artifacts, progress and results: what the runs keep of a batch themselves."""

from __future__ import annotations

from typing import Any

from django.db.models import F, Sum

from apps.runs.clock import from_epoch
from apps.runs.ingest.context import IngestContext
from apps.runs.models import Artifact, Event, Run, Shard
from engine.events import Event as EngineEvent

NOT_ROWS = frozenset(("metric", "view"))  # points and live rows
MAX_MESSAGE = 16_000
EPISODE_KEYS = (
    "task",
    "world_version",
    "seed",
    "repeat",
    "policy_version",
    "policy",
    "model",
    "episode_return",
    "outcome_reward",
    "n_achievements",
    "achievements",
    "n_steps",
    "n_turns",
    "n_failed_calls",
    "ended",
    "ending",
    "error",
    "duration_s",
)


def take_seqs(run: Run, events: list[EngineEvent]) -> dict[int, int]:
    """Run-wide seqs for a batch: all but views get one, without gaps. The run's row is locked."""
    counted = [event.seq for event in events if event.type != "view"]
    seqs = {seq: run.event_seq + i for i, seq in enumerate(counted, start=1)}
    if counted:
        run.event_seq += len(counted)
        Run.objects.filter(pk=run.pk).update(event_seq=run.event_seq)
    return seqs


def add_event_rows(context: IngestContext, events: list[EngineEvent]) -> None:
    """One row an event, except metrics (points) and views (live rows)."""
    Event.objects.bulk_create(
        Event(
            run=context.run,
            seq=context.seqs[event.seq],
            attempt=context.attempt,
            attempt_seq=event.seq,
            type=event.type,
            data=without_nul({**shown(event), **context.notes.get(event.seq, {})}),
            at=from_epoch(event.at),
        )
        for event in events
        if event.type not in NOT_ROWS
    )


def shown(event: EngineEvent) -> dict[str, Any]:
    """What a row keeps of an event's data: lists live in rows of their own."""
    if event.type == "episode":
        return {key: event.data["summary"].get(key) for key in EPISODE_KEYS}
    if event.type == "checkpoint":
        return {k: v for k, v in event.data.items() if k != "files"}
    if event.type == "log":
        return {**event.data, "message": str(event.data.get("message", ""))[:MAX_MESSAGE]}
    return event.data


def without_nul(value: Any) -> Any:
    """The same JSON without NUL characters, which Postgres cannot store."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {without_nul(key): without_nul(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nul(item) for item in value]
    return value


def add_artifacts(context: IngestContext, events: list[EngineEvent]) -> None:
    """A row an announced file."""
    Artifact.objects.bulk_create(
        Artifact(
            run=context.run,
            attempt=context.attempt,
            role=str(event.data.get("role", ""))[:40],
            path=event.data["path"][:300],
            sha256=event.data["sha256"],
            size=event.data["size"],
            storage_key=context.store_file({"sha256": event.data["sha256"]}),
        )
        for event in events
    )


def keep_progress(context: IngestContext, events: list[EngineEvent]) -> None:
    """The shard's newest progress, and the run's as the sum over its shards.

    It goes back when a new attempt says so: broken games are played again, or a training goes on
    from a checkpoint before the last step.
    """
    if not events:
        return
    data = events[-1].data
    done, total = max(0, int(data["done"])), max(0, int(data["total"]))
    Shard.objects.filter(pk=context.shard.pk).update(
        progress_done=min(done, total), progress_total=total
    )
    sums = Shard.objects.filter(run=context.run).aggregate(
        done=Sum("progress_done"), total=Sum("progress_total")
    )
    Run.objects.filter(pk=context.run.pk).update(
        progress_done=sums["done"],
        progress_total=sums["total"],
        progress_unit=str(data.get("unit", context.run.progress_unit))[:20],
        retries_used=F("retries_used") + sum(int(e.data.get("retried", 0)) for e in events),
    )


def keep_result(context: IngestContext, events: list[EngineEvent]) -> None:
    """The shard's values as the engine told them; its state is the supervisor's to change."""
    for event in events:
        Shard.objects.filter(pk=context.shard.pk).update(
            result=without_nul(event.data.get("values") or {})
        )
