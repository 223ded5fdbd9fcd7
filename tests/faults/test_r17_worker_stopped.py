"""R17: SIGTERM; the worker hands its shards back and is gone, another goes on at once."""

from __future__ import annotations

import time

import pytest

from apps.runs.models import Attempt, MetricPoint, RunState
from tests.faults.plant import wait_for_state
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.slow


def test_r17_a_worker_that_is_stopped_hands_back_and_ends(plant, make_run):
    first = plant.start_worker()
    run = make_run(resolved={"n_steps": 1000, "step_s": 0.02})
    plant.start_ticker()
    wait_until(lambda: MetricPoint.objects.count() > 5, "the first points")
    second = plant.start_worker()
    began = time.monotonic()
    first.terminate()
    assert first.wait(20) == 0
    assert time.monotonic() - began < 10
    wait_until(lambda: Attempt.objects.count() == 2, "the second attempt", 10)
    wait_for_state(run, RunState.SUCCEEDED)
    assert second.poll() is None
    assert Attempt.objects.order_by("number")[0].outcome == "handed_back"
    assert run.error is None
