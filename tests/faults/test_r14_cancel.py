"""R14: cancel in any state and twice: `cancelled` within 15 s, and partial results are kept."""

from __future__ import annotations

import time

import pytest

from apps.runs.models import MetricPoint, RunState
from apps.runs.services import cancel_run, resume_run
from tests.faults.plant import engines, wait_for_state
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.slow
LONG = {"n_steps": 100_000, "step_s": 0.02}


@pytest.fixture
def working(plant):
    plant.start_ticker()
    plant.start_worker()
    return plant


def cancel_and_time(run, actor) -> float:
    """Cancel twice; the seconds until the run is cancelled."""
    began = time.monotonic()
    cancel_run(run=run, actor=actor)
    cancel_run(run=run, actor=actor)
    wait_for_state(run, RunState.CANCELLED, seconds=20)
    return time.monotonic() - began


def test_r14_while_it_plays_what_is_done_is_kept_and_resume_goes_on(working, make_run, actor):
    run = make_run(resolved=LONG)
    wait_until(lambda: MetricPoint.objects.count() > 5, "the first points")
    assert cancel_and_time(run, actor) < 15
    assert run.result["steps"] > 5
    assert not engines(run)
    resume_run(run=run, actor=actor)
    wait_for_state(run, RunState.RUNNING)
    assert cancel_and_time(run, actor) < 15


@pytest.mark.parametrize("delay_s", [0.0, 0.1, 0.3, 0.6])
def test_r14_while_it_starts(working, make_run, actor, delay_s):
    run = make_run(resolved=LONG)
    wait_for_state(run, RunState.RUNNING)
    until = time.monotonic() + delay_s
    wait_until(lambda: time.monotonic() >= until, "the moment to cancel")
    assert cancel_and_time(run, actor) < 15
    assert not engines(run)


def test_r14_when_its_worker_is_gone(working, make_run, actor):
    run = make_run(resolved=LONG)
    wait_until(lambda: MetricPoint.objects.count() > 5, "the first points")
    working.kill(working.started[-1])
    assert cancel_and_time(run, actor) < 15
