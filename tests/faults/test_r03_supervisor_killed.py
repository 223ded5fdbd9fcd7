"""R3: the supervisor of a shard is killed; its child ends, and no two write the same attempt."""

from __future__ import annotations

import time

import pytest

from apps.runs.models import Attempt, MetricPoint, RunState
from apps.worker.rundir import directory_of
from tests.faults.plant import engines, wait_for_state
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.slow


def test_r03_a_child_ends_with_its_supervisor_and_is_not_written_beside(plant, make_run):
    first = plant.start_worker()
    run = make_run(resolved={"n_steps": 400, "step_s": 0.02})
    plant.start_ticker()
    wait_until(lambda: MetricPoint.objects.count() > 5, "the first points")
    plant.kill(first)
    died_at = time.monotonic()
    wait_until(lambda: not engines(run), "the child to end", 10)
    assert time.monotonic() - died_at < 5
    told = directory_of(run.pk, 0, 1) / "events.jsonl"
    size = told.stat().st_size
    plant.start_worker()
    wait_for_state(run, RunState.SUCCEEDED)
    assert told.stat().st_size == size
    assert list(Attempt.objects.order_by("number").values_list("number", flat=True)) == [1, 2]
    assert directory_of(run.pk, 0, 2).is_dir()
