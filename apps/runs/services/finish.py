"""Ending a run once all its shards are over."""

from __future__ import annotations

import logging
from typing import Any

from django.db import DatabaseError, transaction

from apps.runs.finishers import result_of
from apps.runs.models import LiveView, Run, RunState, Shard, ShardState
from apps.runs.services.states import lock_run, move_run

log = logging.getLogger(__name__)

LIVE_SHARDS = (ShardState.QUEUED, ShardState.RUNNING)


def settle_run(run: Run) -> bool:
    """Give a run its result and final state if all its shards are over; True if this call did.

    Safe at any time and from any number of processes: the arrow decides. The result is computed
    outside the transaction (it may read many episodes), then the row is checked again. Whoever
    dies between a shard's end and this is replaced by the next tick.
    """
    if Shard.objects.filter(run=run, state__in=LIVE_SHARDS).exists():
        return False
    row = Run.objects.get(pk=run.pk)
    if row.state not in (RunState.QUEUED, RunState.RUNNING, RunState.CANCELLING):
        return False
    result, complaint = _result(row)
    with transaction.atomic():
        row = lock_run(run.pk)
        if Shard.objects.filter(run=row, state__in=LIVE_SHARDS).exists():
            return False
        to, error = _verdict(row, complaint)
        if to is None:
            return False
        Run.objects.filter(pk=row.pk).update(result=result)
        LiveView.objects.filter(run=row).delete()
        return move_run(row, to, error=error)


def _result(run: Run) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The result and, when it could not be made, the error to show instead.

    Whatever a finisher raises: a run whose shards are over must end, or every tick would try again.
    """
    try:
        return result_of(run), None
    except DatabaseError:  # that passes: the next tick settles the run
        raise
    except Exception as err:
        log.exception("run %s: its result could not be made", run.pk)
        message = f"The result of run {run.pk} could not be made: {err}"
        return {}, {"code": "no_result", "message": message, "hint": "Its parts are kept."}


def _verdict(
    run: Run, complaint: dict[str, Any] | None
) -> tuple[RunState | None, dict[str, Any] | None]:
    """The final state of a run whose shards are over, and its error. None: nothing to settle."""
    if run.state == RunState.CANCELLING:
        return RunState.CANCELLED, None
    if run.state not in (RunState.QUEUED, RunState.RUNNING):
        return None, None
    failed = Shard.objects.filter(run=run, state=ShardState.FAILED).order_by("index")
    errors = list(failed.values_list("index", "error"))
    if errors:
        return RunState.FAILED, _name_shards(run, errors)
    if complaint:
        return RunState.FAILED, complaint
    if run.state == RunState.QUEUED:  # finished from leftovers alone: it did run
        move_run(run, RunState.RUNNING)
    return RunState.SUCCEEDED, None


def _name_shards(run: Run, errors: list[tuple[int, dict[str, Any] | None]]) -> dict[str, Any]:
    """The first shard's error, saying how many shards failed when there are several shards."""
    error = dict(errors[0][1] or {"code": "failed", "message": "The shard failed.", "hint": ""})
    n_shards = Shard.objects.filter(run=run).count()
    if n_shards > 1:
        error["message"] = (
            f"{len(errors)} of {n_shards} shards failed; the first: {error['message']}"
        )
    return error
