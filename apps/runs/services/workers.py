"""Workers that report themselves, and the leases of what one process does for all."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from typing import Any

from django.db import IntegrityError
from django.utils.timezone import now

from apps.runs.models import WorkerNode

TICKER = "ticker"  # the name of the row that is the ticker's lease
SWEEPER = "sweeper"  # and of whoever sweeps files
NO_WORKERS = (TICKER, SWEEPER)


def report_worker(
    *, name: str, slots: dict[str, int], busy: dict[str, int], can_train: bool, version: str = ""
) -> None:
    """Say that this worker lives. Safe to repeat; a worker has one row by its name."""
    moment = now()
    fields: dict[str, Any] = {"slots": slots, "busy": busy, "can_train": can_train}
    if WorkerNode.objects.filter(name=name).update(seen_at=moment, **fields):
        return
    WorkerNode.objects.create(
        name=name,
        host=socket.gethostname(),
        pid=os.getpid(),
        version=version,
        started_at=moment,
        seen_at=moment,
        **fields,
    )


def forget_worker(*, name: str) -> None:
    """Remove a worker that stopped in order. Safe twice."""
    WorkerNode.objects.filter(name=name).delete()


def take_turn(name: str, *, every_s: float) -> bool:
    """Whether this process should do `name` now: at most one does so within 0.8 × `every_s`.

    What is done in turn is safe to do twice at once; this only keeps the noise down.
    """
    moment = now()
    lease = WorkerNode.objects.filter(name=name)
    due = moment - timedelta(seconds=every_s * 0.8)
    mine = {"seen_at": moment, "pid": os.getpid(), "host": socket.gethostname()}
    if lease.filter(seen_at__lte=due).update(**mine):
        return True
    # A clock set back would leave the row in the future for ever: that is due as well.
    if lease.filter(seen_at__gt=moment + timedelta(seconds=every_s)).update(**mine):
        return True
    if lease.exists():
        return False
    try:
        WorkerNode.objects.create(name=name, started_at=moment, **mine)
    except IntegrityError:
        return False
    return True
