"""Who holds a shard: claim, renew, finish, hand back. Holders that vanish: `lost.py`.

A lease is taken by a conditional UPDATE that also counts `token` up; every later write by the
holder is conditional on that token, so whoever was replaced cannot write any more (R20). The
attempt's number is the token. Moments are compared on the clock of `apps.runs.clock`.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils.timezone import now

from apps.runs.clock import lease_after, lease_end, lease_now
from apps.runs.models import Attempt, LiveView, Need, Run, RunState, Shard, ShardState
from apps.runs.services.doorbell import ring_workers
from apps.runs.services.finish import settle_run
from apps.runs.services.states import add_event, lock_run, move_run
from engine.errors import LeaseLost
from synthweb import bell

BACK_OFF_MAX_S = 60.0
CANDIDATES = 5


class Claim(NamedTuple):
    """A shard held under a token. `attempt_id` is the row of this try."""

    shard_id: int
    run_id: int
    token: int
    attempt_id: int
    worker: str


class Lease(Enum):
    """What a renewal found."""

    HELD = "held"
    CANCEL = "cancel"  # held, but the run wants to stop
    LOST = "lost"


class Settled(NamedTuple):
    """What became of a shard whose attempt ended."""

    state: ShardState
    retry_in_s: float | None = None  # queued again with this back-off


def to_claim(need: Need | str) -> QuerySet[Shard]:
    """Queued shards that may start now, in fair order.

    Priority first; then the run with the fewest shards running, so that a run of a thousand shards
    does not starve a small one; then age.
    """
    running = Count("run__shards", filter=Q(run__shards__state=ShardState.RUNNING))
    return (
        Shard.objects.filter(state=ShardState.QUEUED, need=need)
        .filter(run__state__in=(RunState.QUEUED, RunState.RUNNING))
        .filter(Q(not_before=None) | Q(not_before__lte=lease_now()))
        .annotate(n_running=running)
        .order_by("run__priority", "n_running", "queued_at", "id")
    )


def claim_shard(*, worker: str, need: Need | str) -> Claim | None:
    """Take the next queued shard that needs `need`, with a fresh attempt and lease.

    Any number of workers may call this at once: one conditional UPDATE decides each shard.
    None: nothing to do, or others were faster; the next tick rings again.
    """
    for shard in to_claim(need).only("id", "run_id", "token")[:CANDIDATES]:
        claim = _take(shard, worker)
        if claim is not None:
            return claim
    return None


def _take(shard: Shard, worker: str) -> Claim | None:
    """Take this very shard, unless somebody was faster or the run stopped meanwhile."""
    with transaction.atomic():
        run = lock_run(shard.run_id)
        if run.state not in (RunState.QUEUED, RunState.RUNNING):
            return None
        token = shard.token + 1
        won = Shard.objects.filter(pk=shard.pk, state=ShardState.QUEUED, token=shard.token).update(
            state=ShardState.RUNNING,
            token=token,
            worker=worker,
            lease_until=lease_end(),
            waiting_for="",
            not_before=None,
        )
        if not won:
            return None
        attempt = Attempt.objects.create(
            shard_id=shard.pk, number=token, worker=worker, started_at=now()
        )
        Run.objects.filter(pk=run.pk).update(n_attempts=run.n_attempts + 1)
        move_run(run, RunState.RUNNING)
    bell.ring("pages:queue")
    return Claim(shard.pk, run.pk, token, attempt.pk, worker)


def renew_lease(claim: Claim) -> Lease:
    """Prolong the lease and say whether the run wants to stop. LOST: the token is not ours."""
    held = _held(claim).update(lease_until=lease_end())
    return check_lease(claim) if held else Lease.LOST


def check_lease(claim: Claim) -> Lease:
    """As `renew_lease`, but reads only: cheap enough for every second."""
    row = _held(claim).values_list("run__state").first()
    if row is None:
        return Lease.LOST
    return Lease.CANCEL if row[0] == RunState.CANCELLING else Lease.HELD


def _held(claim: Claim) -> QuerySet[Shard]:
    return Shard.objects.filter(pk=claim.shard_id, token=claim.token, state=ShardState.RUNNING)


def guard(claim: Claim) -> None:
    """Lock the shard's row for the rest of the transaction. Raises LeaseLost if it is not ours."""
    if not _held(claim).select_for_update().values_list("pk"):
        raise LeaseLost(f"Attempt {claim.token} of shard {claim.shard_id} was replaced by another.")


def finish_shard(
    claim: Claim,
    state: ShardState,
    *,
    values: dict[str, Any] | None = None,
    error: dict[str, Any] | None = None,
    exit_code: int | None = None,
) -> Settled:
    """End a shard for good, and the run with it if this was the last one.

    Raises LeaseLost when another attempt took over meanwhile; then nothing is written.
    """
    changed: dict[str, Any] = {"state": state, "lease_until": None, "error": error}
    if values is not None:
        changed["result"] = values
    run = _release(claim, changed, outcome=state.value, error=error, exit_code=exit_code)
    settle_run(run)
    return Settled(state)


def fail_attempt(
    claim: Claim, *, error: dict[str, Any], retryable: bool, exit_code: int | None = None
) -> Settled:
    """End an attempt that failed by itself: queued again with back-off, or failed for good.

    `error` is {code, message, hint}. Raises LeaseLost when another attempt took over.
    """
    shard = Shard.objects.select_related("run").get(pk=claim.shard_id)
    n_failures = shard.n_failures + 1
    if shard.run.state == RunState.CANCELLING:
        return finish_shard(claim, ShardState.CANCELLED, error=error, exit_code=exit_code)
    if not retryable or n_failures >= shard.run.max_attempts:
        if retryable:
            error = {**error, "message": f"{error['message']} (tried {n_failures} times)"}
        return finish_shard(claim, ShardState.FAILED, error=error, exit_code=exit_code)
    wait_s = min(settings.RETRY_BACK_OFF_SECONDS * 2.0 ** (n_failures - 1), BACK_OFF_MAX_S)
    changed = {
        "state": ShardState.QUEUED,
        "lease_until": None,
        "error": error,
        "n_failures": n_failures,
        "queued_at": now(),
        "not_before": lease_after(wait_s),
        "waiting_for": f"try {n_failures + 1} after: {error['message']}"[:200],
    }
    released = _release(claim, changed, outcome="failed", error=error, exit_code=exit_code)
    _say(claim.run_id, "warning", f"Attempt {claim.token} failed: {error['message']}")
    return _queued_or_cancelled(released, wait_s)


def hand_back(claim: Claim, *, why: str, exit_code: int | None = None) -> Settled:
    """Give a shard back at once because its worker stops; it counts as no failure.

    Raises LeaseLost when another attempt took over.
    """
    run = Run.objects.get(pk=claim.run_id)
    if run.state == RunState.CANCELLING:
        return finish_shard(claim, ShardState.CANCELLED, exit_code=exit_code)
    changed = {
        "state": ShardState.QUEUED,
        "lease_until": None,
        "queued_at": now(),
        "waiting_for": why[:200],
    }
    released = _release(claim, changed, outcome="handed_back", error=None, exit_code=exit_code)
    _say(claim.run_id, "info", f"Attempt {claim.token} was handed back: {why}")
    need = Shard.objects.values_list("need", flat=True).get(pk=claim.shard_id)
    ring_workers([(claim.shard_id, need, run.priority)])
    return _queued_or_cancelled(released, 0.0)


def _queued_or_cancelled(run: Run, retry_in_s: float) -> Settled:
    """What became of a shard that was given back; a run that was cancelled meanwhile is ended."""
    if run.state != RunState.CANCELLING:
        return Settled(ShardState.QUEUED, retry_in_s)
    settle_run(run)
    return Settled(ShardState.CANCELLED)


def _release(
    claim: Claim,
    changed: dict[str, Any],
    *,
    outcome: str,
    error: dict[str, Any] | None,
    exit_code: int | None,
) -> Run:
    """Write the shard's new state if the token is still ours, and close the attempt.

    A cancel may have come since the caller looked: it saw this shard running and left it to us, so
    queueing it now would leave the run cancelling for ever. Under the lock that is settled.
    """
    with transaction.atomic():
        run = lock_run(claim.run_id)
        if run.state == RunState.CANCELLING and changed["state"] == ShardState.QUEUED:
            changed = {**changed, "state": ShardState.CANCELLED, "waiting_for": ""}
        if not _held(claim).update(worker="", **changed):
            raise LeaseLost(f"Attempt {claim.token} of shard {claim.shard_id} was replaced.")
        Attempt.objects.filter(pk=claim.attempt_id).update(
            ended_at=now(), outcome=outcome, error=error, exit_code=exit_code
        )
        LiveView.objects.filter(shard_id=claim.shard_id).delete()
    bell.ring("pages:queue")
    bell.ring("live")
    return run


def _say(run_id: int, level: str, message: str) -> None:
    add_event(Run(pk=run_id), "log", {"level": level, "message": message})
