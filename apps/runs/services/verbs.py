"""What people do to a run: cancel, resume, play broken episodes again, notes, tags, delete."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.timezone import now

from apps.accounts.errors import Refused
from apps.accounts.models import Role
from apps.accounts.queries import Actor
from apps.accounts.services import record
from apps.runs.finishers import EPISODES
from apps.runs.models import Run, RunState, RunTag, Shard, ShardState
from apps.runs.services.doorbell import ring_run
from apps.runs.services.finish import settle_run
from apps.runs.services.states import OVER, lock_run, move_run
from synthweb import bell

STOPPABLE = (RunState.QUEUED, RunState.RUNNING)
LAST = 9  # 0 is taken first
MAX_NOTES = 20_000
MAX_TAGS = 20
MAX_TAG = 60


def cancel_run(*, run: Run, actor: Actor) -> Run:
    """Ask a run to stop; what it has done is kept. Safe twice, and in every state that can stop.

    A run that no worker holds is `cancelled` when this returns; otherwise it is `cancelling` until
    the workers let go. Raises Refused(409) for a run that ended by itself.
    """
    actor.require(Role.EDITOR)
    with transaction.atomic():
        row = lock_run(run.pk)
        if row.state in (RunState.SUCCEEDED, RunState.FAILED):
            raise Refused(
                "wrong_state",
                f"Run {run.pk} cannot be cancelled: it {row.state} already.",
                status=409,
            )
        if row.state == RunState.DRAFT:
            move_run(row, RunState.CANCELLED)
        elif row.state in STOPPABLE:
            move_run(row, RunState.CANCELLING)
        if row.state in (RunState.CANCELLING, RunState.CANCELLED):
            Shard.objects.filter(run=row, state=ShardState.QUEUED).update(
                state=ShardState.CANCELLED, waiting_for=""
            )
        record(actor=actor, verb="run.cancelled", target=f"run:{run.pk}")
    settle_run(run)
    run.refresh_from_db()
    return run


def resume_run(*, run: Run, actor: Actor) -> Run:
    """failed or cancelled → queued: only what is missing is done, from the last checkpoint.

    Of a failed run the broken episodes are missing too: they may be all that it has, and playing
    nothing would then count as success. Safe twice: a run that is queued or running already stays
    so. Raises Refused(409) otherwise.
    """
    actor.require(Role.EDITOR)
    with transaction.atomic():
        row = lock_run(run.pk)
        if row.state in STOPPABLE:
            return row
        if row.state not in (RunState.FAILED, RunState.CANCELLED):
            raise Refused(
                "wrong_state", f"Run {run.pk} cannot be resumed: it is {row.state}.", status=409
            )
        missing = Shard.objects.filter(run=row).exclude(state=ShardState.SUCCEEDED)
        if not missing.exists():
            missing = Shard.objects.filter(run=row)
        if row.state == RunState.FAILED:
            Run.objects.filter(pk=row.pk).update(retry_broken_at=now())
        _queue_again(row, list(missing.values_list("id", flat=True)))
        record(actor=actor, verb="run.resumed", target=f"run:{run.pk}")
    return row


def retry_failed(*, run: Run, actor: Actor) -> Run:
    """Play the broken episodes of an ended run again; the others are kept as they are.

    What a cancelled or failed run had not played is played too: it could not succeed without.
    Raises Refused(409) while the run is not over or when no episode is broken.
    """
    actor.require(Role.EDITOR)
    broken = EPISODES.broken_shards(run)
    with transaction.atomic():
        row = lock_run(run.pk)
        if row.state in STOPPABLE and row.retry_broken_at is not None:
            return row
        if row.state not in OVER:
            raise Refused(
                "wrong_state", f"Run {run.pk} is {row.state}: wait until it is over.", status=409
            )
        if not broken:
            raise Refused("nothing_broken", f"Run {run.pk} has no broken episodes.", status=409)
        Run.objects.filter(pk=row.pk).update(retry_broken_at=now())
        unfinished = Shard.objects.filter(run=row).exclude(state=ShardState.SUCCEEDED)
        _queue_again(row, [*broken, *unfinished.values_list("id", flat=True)])
        record(actor=actor, verb="run.retried", target=f"run:{run.pk}")
    return row


def _queue_again(run: Run, shard_ids: list[int]) -> None:
    """Put ended shards back into the queue with a fresh count of failures and retries."""
    Shard.objects.filter(run=run, pk__in=shard_ids).exclude(state=ShardState.RUNNING).update(
        state=ShardState.QUEUED,
        queued_at=now(),
        not_before=None,
        n_failures=0,
        error=None,
        waiting_for="",
    )
    Run.objects.filter(pk=run.pk).update(retries_used=0)
    move_run(run, RunState.QUEUED)
    ring_run(run)


def set_notes(*, run: Run, actor: Actor, notes: str) -> Run:
    """Replace the notes; the last writer wins. Raises Refused(422) when they are too long."""
    actor.require(Role.EDITOR)
    if len(notes) > MAX_NOTES or "\0" in notes:
        raise Refused(
            "bad_notes", f"Notes have at most {MAX_NOTES} characters and no NUL.", status=422
        )
    Run.objects.filter(pk=run.pk).update(notes=notes)
    run.notes = notes
    return run


def set_priority(*, run: Run, actor: Actor, priority: int) -> Run:
    """Let a run's shards be taken sooner (0) or later (9); what a worker holds goes on.

    Safe twice, the last writer wins. Raises Refused: no such priority (422), the run is over (409).
    """
    actor.require(Role.EDITOR)
    if not 0 <= priority <= LAST:
        words = f"A priority is a whole number from 0 (first) to {LAST} (last)."
        raise Refused("bad_priority", words, status=422, fields={"priority": words})
    with transaction.atomic():
        row = lock_run(run.pk)
        if row.state in OVER:
            words = f"Run {run.pk} waits for nothing any more: it {row.state} already."
            raise Refused("wrong_state", words, status=409)
        if row.priority != priority:
            Run.objects.filter(pk=run.pk).update(priority=priority)
            detail = {"was": row.priority, "priority": priority}
            record(actor=actor, verb="run.priority", target=f"run:{run.pk}", detail=detail)
    run.priority = priority
    bell.ring("pages:queue")
    return run


def set_tags(*, run: Run, actor: Actor, tags: Iterable[str]) -> list[str]:
    """Replace the tags and return them sorted; the last writer wins."""
    actor.require(Role.EDITOR)
    wanted = sorted({tag.strip() for tag in tags if tag.strip()})
    if len(wanted) > MAX_TAGS or any(len(tag) > MAX_TAG or "\0" in tag for tag in wanted):
        raise Refused(
            "bad_tags",
            f"A run has at most {MAX_TAGS} tags of at most {MAX_TAG} characters.",
            status=422,
        )
    with transaction.atomic():
        lock_run(run.pk)
        RunTag.objects.filter(run=run).exclude(name__in=wanted).delete()
        RunTag.objects.bulk_create(
            (RunTag(run=run, name=name) for name in wanted), ignore_conflicts=True
        )
    bell.ring("pages:runs")
    return wanted


def delete_run(*, run: Run, actor: Actor) -> dict[str, Any]:
    """Delete a run that is over, with its episodes and events; its checkpoints stay.

    Returns what was deleted as {table: count}. Raises Refused(409) while it may still run.
    """
    actor.require(Role.ADMIN)
    with transaction.atomic():
        row = lock_run(run.pk)
        if row.state not in OVER and row.state != RunState.DRAFT:
            raise Refused(
                "wrong_state", f"Run {run.pk} is {row.state}: cancel it first.", status=409
            )
        record(actor=actor, verb="run.deleted", target=f"run:{run.pk}", detail={"name": row.name})
        _, counts = row.delete()
    shutil.rmtree(settings.RUNS_DIR / str(run.pk), ignore_errors=True)
    bell.ring("pages:runs")
    return counts
