"""Shards whose worker vanished: back into the queue, or cancelled when the run wants to stop.

Called by the tick. Safe from several tickers at once: one conditional UPDATE moves each shard.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils.timezone import now

from apps.runs.clock import lease_after, lease_now
from apps.runs.models import Attempt, LiveView, Run, RunState, Shard, ShardState
from apps.runs.services.doorbell import ring_workers
from apps.runs.services.finish import LIVE_SHARDS, settle_run
from apps.runs.services.states import add_event, lock_run

MAX_LOST = 20  # lost leases of one shard before it counts as poison
BATCH = 1_000


def requeue_lost() -> int:
    """Put shards whose lease ran out back into the queue, ahead of their age; returns how many.

    Safe from several tickers: each shard is moved by one conditional UPDATE. A shard that lost its
    worker MAX_LOST times is poison and fails.
    """
    lost = Shard.objects.filter(state=ShardState.RUNNING, lease_until__lt=lease_now())
    return sum(_requeue(shard) for shard in lost.select_related("run")[:BATCH])


def _requeue(shard: Shard) -> bool:
    """Move one lost shard on. False: its holder renewed in time after all, or another did it."""
    lost = Attempt.objects.filter(shard=shard, outcome="lost", started_at__gte=shard.run.queued_at)
    n_lost = lost.count() + 1  # since the run was last queued: resuming it counts afresh
    with transaction.atomic():
        run = lock_run(shard.run_id)
        changed = _after_loss(run, n_lost)
        moved = Shard.objects.filter(
            pk=shard.pk, state=ShardState.RUNNING, token=shard.token, lease_until__lt=lease_now()
        ).update(worker="", lease_until=None, **changed)
        if not moved:
            return False
        Attempt.objects.filter(shard=shard, number=shard.token, ended_at=None).update(
            ended_at=now(), outcome="lost"
        )
        LiveView.objects.filter(shard=shard).delete()
        becomes = "taken up again" if changed["state"] == ShardState.QUEUED else changed["state"]
        message = f"Shard {shard.index} lost its worker ({shard.worker}): {becomes}."
        add_event(run, "log", {"level": "warning", "message": message})
        if changed["state"] == ShardState.QUEUED:
            ring_workers([(shard.pk, shard.need, run.priority)])
    settle_run(run)
    return True


def _after_loss(run: Run, n_lost: int) -> dict[str, Any]:
    """The fields of a shard whose worker vanished for the `n_lost`-th time."""
    if run.state == RunState.CANCELLING:
        return {"state": ShardState.CANCELLED}
    if n_lost >= MAX_LOST:
        message = f"The shard lost its worker {n_lost} times."
        hint = "Look at the workers' logs: it may take more memory than there is."
        error = {"code": "worker_lost", "message": message, "hint": hint}
        return {"state": ShardState.FAILED, "error": error}
    return {"state": ShardState.QUEUED, "waiting_for": "its worker vanished"}


def abandon_cancelled() -> int:
    """End shards of cancelling runs whose worker missed a renewal; returns how many.

    The holder would have let go within seconds, so it is gone or stuck. The token is counted up:
    should it come back, its writes are refused.
    """
    silent = lease_after(settings.LEASE_SECONDS - 1.2 * settings.RENEW_SECONDS)
    shards = Shard.objects.filter(
        state=ShardState.RUNNING, run__state=RunState.CANCELLING, lease_until__lt=silent
    )
    return sum(_abandon(shard) for shard in shards.select_related("run")[:BATCH])


def _abandon(shard: Shard) -> bool:
    """Cancel one shard without its worker. False: it let go by itself meanwhile."""
    with transaction.atomic():
        lock_run(shard.run_id)
        moved = Shard.objects.filter(
            pk=shard.pk, state=ShardState.RUNNING, token=shard.token
        ).update(state=ShardState.CANCELLED, token=F("token") + 1, worker="", lease_until=None)
        if moved:
            Attempt.objects.filter(shard=shard, number=shard.token, ended_at=None).update(
                ended_at=now(), outcome="lost"
            )
            LiveView.objects.filter(shard=shard).delete()
    settle_run(shard.run)
    return bool(moved)


def settle_over() -> int:
    """Settle runs whose shards are all over but whose worker died before it could; how many."""
    states = (RunState.QUEUED, RunState.RUNNING, RunState.CANCELLING)
    runs = Run.objects.filter(state__in=states).exclude(shards__state__in=LIVE_SHARDS)
    return sum(settle_run(run) for run in runs[:BATCH])
