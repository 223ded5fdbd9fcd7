"""Celery's side: doorbells that say "look into the database", and this process's life.

A message is never the work itself. Lost, late, doubled: the claim decides (DESIGN: the database is
the truth). Each task holds a thread of the worker for as long as it has something to do.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down
from django.db import DatabaseError, InterfaceError, connection

from apps.runs.models import Shard, ShardState
from apps.runs.services import claim_shard, forget_worker, report_worker
from apps.worker.slots import WORKER_NAME, can_train, needs_packages, slots, stopping
from apps.worker.supervise import supervise

log = logging.getLogger(__name__)

REPORT_S = 5.0


@shared_task(name="apps.worker.tasks.run_shard")
def run_shard(shard_id: int) -> None:
    """Somebody queued a shard: take the next one of that need, as long as there are any."""
    need = Shard.objects.filter(pk=shard_id).values_list("need", flat=True).first()
    if need is not None:
        work_off(need)


@shared_task(name="apps.worker.tasks.serve")
def serve(server_id: int) -> None:
    """Somebody wants a model server: run one in the serve slot."""
    if not can_train():
        return
    with slots.take("serve") as got:
        if got and not stopping.is_set():
            from apps.worker.serve import run_server  # brings an HTTP client: only who serves

            run_server(server_id, stopping)


def work_off(need: str) -> int:
    """Claim and supervise shards of a need while a slot is free; returns how many attempts."""
    n_attempts = 0
    if needs_packages(need) and not can_train():
        why = "the training packages are not installed on this worker yet"
        Shard.objects.filter(state=ShardState.QUEUED, need=need, waiting_for="").update(
            waiting_for=why
        )
        return 0
    while not stopping.is_set():
        with slots.take(need) as got:
            claim = claim_shard(worker=WORKER_NAME, need=need) if got else None
            if claim is None:
                return n_attempts
            supervise(claim, stopping)
            n_attempts += 1
    return n_attempts


@worker_ready.connect(weak=False)
def _start_reports(**kwargs: Any) -> None:
    threading.Thread(target=_report_for_ever, name="report", daemon=True).start()


@worker_shutting_down.connect(weak=False)
def _stop(**kwargs: Any) -> None:
    stopping.set()
    slots.changed.set()


def _report_for_ever() -> None:
    """Tell the database every few seconds, and at every change, that this worker lives."""
    while not stopping.is_set():
        slots.changed.clear()
        try:
            report_worker(
                name=WORKER_NAME, slots=slots.sizes, busy=slots.busy, can_train=can_train()
            )
        except (DatabaseError, InterfaceError) as err:
            log.warning("this worker cannot report: %s", err)
            connection.close()
        slots.changed.wait(REPORT_S)
        stopping.wait(0.2)
    try:
        forget_worker(name=WORKER_NAME)
    except (DatabaseError, InterfaceError) as err:
        log.warning("this worker cannot sign off: %s", err)
    finally:
        connection.close()
