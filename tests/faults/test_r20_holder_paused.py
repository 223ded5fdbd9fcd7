"""R20: a lease holder is paused for longer than its lease; then its writes are refused."""

from __future__ import annotations

import signal

import pytest

from apps.runs.models import Attempt, Event, MetricPoint, RunState
from tests.faults.plant import engines, wait_for_state
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.slow


def test_r20_a_holder_that_wakes_up_late_writes_nothing(plant, make_run):
    paused = plant.start_worker()
    run = make_run(resolved={"n_steps": 300, "step_s": 0.02})
    plant.start_ticker()
    wait_until(lambda: MetricPoint.objects.count() > 5, "the first points")
    paused.send_signal(signal.SIGSTOP)
    plant.start_worker()
    wait_until(lambda: Attempt.objects.count() == 2, "the lease to run out", 30)
    first, second = Attempt.objects.order_by("number")
    told = Event.objects.filter(attempt=first).count()
    paused.send_signal(signal.SIGCONT)
    wait_until(lambda: "was replaced" in plant.log.read_text(), "the late holder to notice", 20)
    wait_for_state(run, RunState.SUCCEEDED)
    assert len(engines(run)) == 0
    assert Attempt.objects.count() == 2
    # Only what the new holder itself ingested of the old attempt may have been added.
    assert Event.objects.filter(attempt=first).count() >= told
    assert Event.objects.filter(attempt=second, type="result").count() == 1
    assert not Event.objects.filter(attempt=first, type="result").exists()
