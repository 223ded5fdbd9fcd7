"""R2: the engine is killed or dies; the reason is on the run, it is tried again, then it fails."""

from __future__ import annotations

import os
import signal

import pytest

from apps.runs.models import Attempt, Event, MetricPoint, RunState
from tests.faults.plant import engines, wait_for_state
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.slow


def test_r02_an_engine_that_is_killed_once_is_replaced(plant, make_run):
    plant.start_ticker()
    plant.start_worker()
    run = make_run(resolved={"n_steps": 150, "step_s": 0.02})
    wait_until(lambda: MetricPoint.objects.count() > 5, "the first points")
    os.kill(engines(run)[0], signal.SIGKILL)
    wait_for_state(run, RunState.SUCCEEDED)
    first, second = Attempt.objects.order_by("number")
    assert (first.exit_code, first.error["code"]) == (-9, "killed")
    assert second.outcome == "succeeded"
    messages = [e.data["message"] for e in Event.objects.filter(run=run, type="log")]
    assert any("ran out of memory" in message for message in messages)


def test_r02_an_engine_that_always_dies_fails_the_run_with_the_reason(plant, make_run):
    plant.start_ticker()
    plant.start_worker()
    run = make_run(resolved={"n_steps": 5, "crash_at": 3})
    wait_for_state(run, RunState.FAILED)
    assert Attempt.objects.count() == run.max_attempts == 3
    assert "signal 9" in run.error["message"]
    assert "tried 3 times" in run.error["message"]
    assert run.error["hint"]
