"""How far a run is and how long it will still take, from what it really got done lately."""

from __future__ import annotations

from django.utils.timezone import now

from apps.runs.models import Event, Run, RunState
from apps.runs.queries.rows import Progress

WINDOW = 50  # progress events that the throughput is measured over
STALE_S = 120.0  # with no progress for so long, there is no honest estimate
# The first steps are warm-up: an estimate waits for one of these.
ENOUGH_DONE = 0.05  # of the total
ENOUGH_S = 10.0  # of measured throughput


def progress_of(run: Run) -> Progress:
    """Done, total and, while it runs, the seconds left by the throughput of its last events.

    The wait since the last event is counted in, so an estimate never stands still while nothing
    happens. One query for a running run, none otherwise.
    """
    eta_s = _eta(run) if run.state == RunState.RUNNING else None
    return Progress(run.progress_done, run.progress_total, run.progress_unit, eta_s)


def _eta(run: Run) -> float | None:
    """Seconds left; None when too little is known."""
    left = run.progress_total - run.progress_done
    if left <= 0:
        return 0.0 if run.progress_total else None
    events = Event.objects.filter(run=run, type="progress").order_by("-seq")
    if run.started_at is not None:  # the hours before a resume are no work
        events = events.filter(at__gte=run.started_at)
    rows = list(events.values_list("attempt_id", "data", "at")[:WINDOW])
    gained, first_at = 0, None
    last: dict[int | None, int] = {}  # attempts of several shards report side by side
    for attempt_id, data, at in rows:
        done = int(data.get("done", 0))
        gained += max(0, last.get(attempt_id, done) - done)
        last[attempt_id], first_at = done, at
    if first_at is None or gained == 0:
        return None
    moment = now()
    if (moment - rows[0][2]).total_seconds() > STALE_S:
        return None
    measured_s = (rows[0][2] - first_at).total_seconds()
    if run.progress_done < ENOUGH_DONE * run.progress_total and measured_s < ENOUGH_S:
        return None
    return round(left * (moment - first_at).total_seconds() / gained, 1)
