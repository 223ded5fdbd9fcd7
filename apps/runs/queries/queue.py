"""The queue, the workers, and counts for home and `/metrics`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count, Q
from django.utils.timezone import now

from apps.accounts.models import Project
from apps.runs.models import Need, Run, RunState, Shard, ShardState, WorkerNode
from apps.runs.services.leases import to_claim
from apps.runs.services.workers import NO_WORKERS

ALIVE_S = 45


class QueueRow(NamedTuple):
    """A run that waits or runs, in the order in which workers take them."""

    position: int
    run_id: int
    name: str
    kind: str
    state: str
    need: str
    priority: int
    n_queued: int
    n_running: int
    queued_at: datetime | None
    waiting_for: str


class WorkerRow(NamedTuple):
    """A worker that reported lately. `slots` and `busy` count shards by need."""

    name: str
    host: str
    pid: int
    version: str
    slots: dict[str, int]
    busy: dict[str, int]
    can_train: bool
    started_at: datetime
    seen_at: datetime
    alive: bool


class HeldRow(NamedTuple):
    """A shard that a worker holds now."""

    run_id: int
    name: str
    shard: int
    n_shards: int


class Counts(NamedTuple):
    """Runs and shards by state, workers alive."""

    runs: dict[str, int]
    shards: dict[str, int]
    n_workers: int


def list_workers() -> list[WorkerRow]:
    """The workers that reported within a day, newest report first."""
    moment = now()
    rows = WorkerNode.objects.exclude(name__in=NO_WORKERS).filter(
        seen_at__gt=moment - timedelta(days=1)
    )
    return [_worker(node, moment) for node in rows.order_by("-seen_at")]


def _worker(node: WorkerNode, moment: datetime) -> WorkerRow:
    names = [name for name in WorkerRow._fields if name != "alive"]
    alive = (moment - node.seen_at).total_seconds() < ALIVE_S
    return WorkerRow(**{name: getattr(node, name) for name in names}, alive=alive)


def list_held(*, project: Project) -> dict[str, list[HeldRow]]:
    """Worker → the shards of this project that it holds now, oldest run first."""
    shards = Shard.objects.filter(run__project=project, state=ShardState.RUNNING)
    rows = shards.annotate(n=Count("run__shards")).order_by("run_id", "index")
    held: dict[str, list[HeldRow]] = {}
    found = rows.values_list("worker", "run_id", "run__name", "index", "n")[:500]
    for worker, run_id, name, index, n_shards in found:
        held.setdefault(worker, []).append(HeldRow(run_id, name, index, n_shards))
    return held


def list_queue(*, project: Project, limit: int = 100) -> list[QueueRow]:
    """Runs that are running or wait, in the order in which workers take their shards.

    `waiting_for` says in words why a run waits.
    """
    order = _claim_order()
    queued = Count("shards", filter=Q(shards__state=ShardState.QUEUED))
    running = Count("shards", filter=Q(shards__state=ShardState.RUNNING))
    live = (RunState.QUEUED, RunState.RUNNING, RunState.CANCELLING)
    runs = Run.objects.filter(project=project, state__in=live)
    rows = list(runs.annotate(n_queued=queued, n_running=running).order_by("id")[:1000])
    rows.sort(key=lambda run: (run.n_running == 0, order.get(run.pk, len(order)), run.pk))
    needs = _needs([run.pk for run in rows[:limit]])
    offered = _offered()
    return [
        _queue_row(position, run, needs.get(run.pk, ("", "")), offered)
        for position, run in enumerate(rows[:limit], start=1)
    ]


def _queue_row(
    position: int, run: Any, need: tuple[str, str], offered: dict[str, int] | None
) -> QueueRow:
    """`run` carries the annotations n_queued and n_running."""
    return QueueRow(
        position=position,
        run_id=run.pk,
        name=run.name,
        kind=run.kind,
        state=run.state,
        need=need[0],
        priority=run.priority,
        n_queued=run.n_queued,
        n_running=run.n_running,
        queued_at=run.queued_at,
        waiting_for=_reason(run, need, offered),
    )


def _reason(run: Any, need: tuple[str, str], offered: dict[str, int] | None) -> str:
    """Why a run waits, in words; "" when it does not. `offered` None: no worker lives."""
    if run.state == RunState.CANCELLING:
        return "its worker lets go of it"
    if run.n_queued == 0:
        return ""
    if need[1]:
        return need[1]
    if offered is None:
        return "no worker is running, so no worker offers a slot"
    if need[0] not in offered:
        return f"no worker offers a {need[0]} slot"
    n_slots = offered[need[0]]
    if run.n_running == 0:
        which = f"all {n_slots} {need[0]} slots are" if n_slots > 1 else f"the {need[0]} slot is"
        return f"{which} taken"
    return f"another {need[0]} slot, of {n_slots}"


def _claim_order() -> dict[int, int]:
    """Run id → place of its first claimable shard, over all projects: workers do not know them."""
    order: dict[int, int] = {}
    for need in Need.values:
        for run_id in to_claim(need).values_list("run_id", flat=True)[:2000]:
            order.setdefault(run_id, len(order))
    return order


def _needs(run_ids: list[int]) -> dict[int, tuple[str, str]]:
    """Run id → (need, waiting_for) of its first queued shard."""
    rows = Shard.objects.filter(run__in=run_ids, state=ShardState.QUEUED).order_by("-index")
    return {
        run_id: (need, why) for run_id, need, why in rows.values_list("run", "need", "waiting_for")
    }


def _offered() -> dict[str, int] | None:
    """Need → slots of all living workers, where there are any; None when no worker lives."""
    workers = [worker for worker in list_workers() if worker.alive]
    if not workers:
        return None
    offered: dict[str, int] = {}
    for worker in workers:
        for need, n in worker.slots.items():
            if n:
                offered[need] = offered.get(need, 0) + n
    return offered


def count_runs(*, project: Project | None = None) -> dict[str, int]:
    """Runs by state, in one project or all; states without any are 0. One query."""
    runs = Run.objects.filter(project=project) if project else Run.objects.all()
    found = dict(runs.values_list("state").annotate(n=Count("id")).order_by())
    return {state: found.get(state, 0) for state in RunState.values}


def count_states(*, project: Project | None = None) -> Counts:
    """Runs and shards by state and living workers, in one project or all."""
    shards = Shard.objects.filter(run__project=project) if project else Shard.objects.all()
    by_shard = dict(shards.values_list("state").annotate(n=Count("id")).order_by())
    return Counts(
        count_runs(project=project),
        {state: by_shard.get(state, 0) for state in ShardState.values},
        sum(worker.alive for worker in list_workers()),
    )
