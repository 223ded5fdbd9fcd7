"""Ringing workers through Celery. A message carries one id; nothing depends on it arriving.

The task is named by a string, because the rooms below never import the worker.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from django.db import transaction
from kombu.exceptions import OperationalError

from apps.runs.models import Run, Shard, ShardState

log = logging.getLogger(__name__)

RUN_SHARD = "apps.worker.tasks.run_shard"
SERVE = "apps.worker.tasks.serve"
# One message wakes a slot, and a freed slot looks for more by itself: more would only be noise.
MAX_RINGS = 32


def ring_workers(shards: Iterable[tuple[int, str, int]]) -> None:
    """Ring for `(shard id, need, priority)` once the current transaction commits; never raises."""
    rings = list(shards)[:MAX_RINGS]
    transaction.on_commit(lambda: send(RUN_SHARD, rings), robust=True)


def ring_run(run: Run) -> None:
    """Ring for the queued shards of a run."""
    queued = Shard.objects.filter(run=run, state=ShardState.QUEUED).order_by("index")
    ring_workers(
        (pk, need, run.priority) for pk, need in queued.values_list("id", "need")[:MAX_RINGS]
    )


def send(task: str, rings: Iterable[tuple[int, str, int]]) -> bool:
    """Publish now. False: the broker did not take one; the tick rings again."""
    from synthweb.celery import app  # registers our options before the first publish

    try:
        for object_id, need, priority in rings:
            app.send_task(task, args=[object_id], queue=need, priority=priority, retry=False)
    except (OperationalError, OSError) as err:
        log.warning("the broker is away (%s): the tick rings again", err)
        return False
    return True
