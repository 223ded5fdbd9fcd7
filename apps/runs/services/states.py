"""The state machine of runs, and events that do not come from an engine.

Every change of `Run.state` goes through `move_run`. Rows are locked in the order run, shard,
attempt everywhere, so that two services never wait for each other.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.timezone import now

from apps.accounts.errors import Refused
from apps.runs.models import Event, Run, RunState
from synthweb import bell

S = RunState
ARROWS: dict[RunState, frozenset[RunState]] = {
    S.DRAFT: frozenset((S.QUEUED, S.CANCELLED)),
    S.QUEUED: frozenset((S.RUNNING, S.CANCELLING, S.FAILED)),
    S.RUNNING: frozenset((S.CANCELLING, S.SUCCEEDED, S.FAILED)),
    S.CANCELLING: frozenset((S.CANCELLED,)),
    S.SUCCEEDED: frozenset((S.QUEUED,)),  # broken episodes are played again
    S.FAILED: frozenset((S.QUEUED,)),
    S.CANCELLED: frozenset((S.QUEUED,)),
}
OVER = frozenset((S.SUCCEEDED, S.FAILED, S.CANCELLED))


def lock_run(run_id: int) -> Run:
    """The run's row, locked until the transaction ends. Must be called inside one."""
    return Run.objects.select_for_update().get(pk=run_id)


def move_run(run: Run, to: RunState, *, error: dict[str, Any] | None = None) -> bool:
    """Change a run's state along an arrow; the only place that does.

    True: moved, with a `state` event. False: it was there already, nothing is done (safe twice).
    Raises Refused(409) when no arrow leads there. `run` is updated in place.
    """
    with transaction.atomic():
        row = lock_run(run.pk)
        was = RunState(row.state)
        if was == to:
            run.state = to
            return False
        if to not in ARROWS[was]:
            raise Refused(
                "wrong_state",
                f"Run {row.pk} is {was.value}: it cannot become {to.value}.",
                status=409,
            )
        changed = {"state": to, "error": error, **_times(row, to)}
        Run.objects.filter(pk=row.pk).update(**changed)
        data: dict[str, Any] = {"state": to.value, "was": was.value}
        if error:
            data["error"] = error
        add_event(row, "state", data)
    for name, value in changed.items():
        setattr(run, name, value)
    bell.ring("pages:runs")
    return True


def _times(row: Run, to: RunState) -> dict[str, Any]:
    """Which of the run's moments a change of state sets."""
    moment = now()
    if to == S.QUEUED:
        return {"queued_at": moment, "ended_at": None, "started_at": None}
    if to == S.RUNNING:
        return {"started_at": moment}
    return {"ended_at": moment} if to in OVER else {}


def add_event(run: Run, type_: str, data: dict[str, Any]) -> int:
    """Store an event of the web's own and return its run-wide seq.

    Every call stores one; the run's row is locked, so seqs have no gaps and commit in order.
    """
    with transaction.atomic():
        seq = next_seqs(run.pk, 1)
        Event.objects.create(run_id=run.pk, seq=seq, type=type_, data=data, at=now())
    bell.ring(f"run:{run.pk}")
    return seq


def next_seqs(run_id: int, n: int) -> int:
    """Take `n` run-wide seqs and return the first. Must be called inside a transaction."""
    row = Run.objects.select_for_update().only("event_seq").get(pk=run_id)
    Run.objects.filter(pk=run_id).update(event_seq=row.event_seq + n)
    return row.event_seq + 1
