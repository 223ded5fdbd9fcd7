"""Runs to work with, without an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils.timezone import now

from apps.accounts.models import Project
from apps.runs.ingest import Source
from apps.runs.models import Need, Run, Shard
from apps.runs.services import Claim, ShardPlan, claim_shard, create_run, queue_run
from engine.events import EventWriter

MakeRun = Callable[..., Run]
ERROR = {"code": "task_error", "message": "The game broke.", "hint": ""}


@pytest.fixture
def make_run(project: Project) -> MakeRun:
    """A run of kind noop, queued unless told otherwise."""

    def make(n_shards: int = 1, *, queued: bool = True, need: Need = Need.ROLLOUT, **more) -> Run:
        fields = {"kind": "noop", "name": "a run", "resolved": {"n_steps": 3}, "inputs": {}, **more}
        shards = [ShardPlan(need=need, total=3) for _ in range(n_shards)]
        run = create_run(project=project, user=None, config=None, shards=shards, **fields)
        return queue_run(run=run) if queued else run

    return make


@pytest.fixture
def claim(make_run: MakeRun) -> Claim:
    """A shard held by the worker `one`."""
    make_run()
    found = claim_shard(worker="one", need=Need.ROLLOUT)
    assert found is not None
    return found


def expire_lease(claim: Claim) -> None:
    """Let a lease run out, as if its worker had vanished."""
    Shard.objects.filter(pk=claim.shard_id).update(lease_until=now() - timedelta(seconds=1))


def state_of(run: Run) -> str:
    return Run.objects.values_list("state", flat=True).get(pk=run.pk)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[EventWriter]:
    """What an attempt would write."""
    made = EventWriter(tmp_path)
    yield made
    made.close()


@pytest.fixture
def source(claim, tmp_path: Path) -> Source:
    """Where the worker reads it."""
    return Source(claim.attempt_id, tmp_path)
