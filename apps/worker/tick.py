"""What happens every few seconds whether or not a message arrived; the net under every doorbell.

Each step is safe to do twice at once, and one that fails does not keep the others from happening.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from datetime import timedelta

from django.apps import apps
from django.db import DatabaseError, InterfaceError, connection
from django.utils.timezone import now

from apps.checkpoints.services import requeue_lost_servers, sweep_resume
from apps.launch.services import advance_pipelines
from apps.launch.services.webhooks import notice_ended, send_due
from apps.runs.models import LiveView, Need, ShardState
from apps.runs.orphans import may_sweep, sweep_orphans
from apps.runs.queries import list_workers
from apps.runs.services import SWEEPER, abandon_cancelled, requeue_lost, settle_over, take_turn
from apps.runs.services.doorbell import RUN_SHARD, send
from apps.runs.services.leases import to_claim
from apps.traces.played import import_played
from apps.worker.disk import sweep_attempts, sweep_disk

log = logging.getLogger(__name__)

KEEP_ANSWERS = timedelta(days=1)
STALE_VIEWS = timedelta(minutes=10)
SWEEP_EVERY_S = 3600.0


def tick(*, without: Collection[str] = ()) -> dict[str, int]:
    """Do every step once, but those named; returns how much each did, -1 for one that failed."""
    return {name: _guarded(name, step) for name, step in STEPS.items() if name not in without}


class Beside:
    """A step in a thread of its own, never twice at once: it may take longer than a tick.

    A pipeline's dataset can take minutes to write; lost shards are not to wait for it. Nor are
    they for games that came over HTTP, each of which is played again.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin the step, unless it still goes on since an earlier tick."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            self._thread.start()

    def wait(self, seconds: float) -> None:
        """Give the step time to end; what it leaves half done is done again by the next ticker."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        try:
            _guarded(self.name, STEPS[self.name])
        finally:
            connection.close()


def _guarded(name: str, step: Callable[[], int]) -> int:
    try:
        return step()
    except (DatabaseError, InterfaceError) as err:
        log.warning("tick: %s has to wait for the database: %s", name, err)
        connection.close()
    except Exception:
        log.exception("tick: %s failed", name)
    return -1


def ring_queued() -> int:
    """Ring for queued shards, as many of each need as there are free slots.

    No ring without a free slot: messages would pile up in the broker while workers are busy.
    """
    rings: list[tuple[int, str, int]] = []
    workers = [worker for worker in list_workers() if worker.alive]
    for need in (Need.ROLLOUT, Need.TRAIN):
        free = sum(max(0, w.slots.get(need, 0) - w.busy.get(need, 0)) for w in workers)
        if free:
            rows = to_claim(need).values_list("id", "need", "run__priority")[:free]
            rings += list(rows)
    return len(rings) if send(RUN_SHARD, rings) else 0


def sweep() -> int:
    """Delete live views that nobody feeds any more, and directories of attempts long over."""
    stale = LiveView.objects.filter(updated_at__lt=now() - STALE_VIEWS)
    n_views, _ = stale.exclude(shard__state=ShardState.RUNNING).delete()
    return n_views + sweep_attempts()


def sweep_files() -> int:
    """Delete files that nothing names any more; an hour lies between two looks at all files."""
    if not take_turn(SWEEPER, every_s=SWEEP_EVERY_S) or not may_sweep():
        return 0
    return sweep_orphans() + sweep_disk()


def forget_answers() -> int:
    """Delete the answers kept for `Idempotency-Key` that are older than a day.

    The model is looked up by name: importing the API would load all of it into the ticker.
    """
    answers = apps.get_model("api", "IdempotentAnswer")
    n_rows, _ = answers.objects.filter(created_at__lt=now() - KEEP_ANSWERS).delete()
    return n_rows


STEPS: dict[str, Callable[[], int]] = {
    "lost": requeue_lost,
    "abandoned": abandon_cancelled,
    "settled": settle_over,
    "pipelines": advance_pipelines,
    "noticed": notice_ended,
    "told": send_due,
    "rung": ring_queued,
    "servers": requeue_lost_servers,
    "swept": sweep,
    "answers": forget_answers,
    "played": import_played,
    "resume": sweep_resume,
    "orphans": sweep_files,
}
# These may take minutes: in threads of their own.
LONG = ("pipelines", "played", "told", "orphans")
