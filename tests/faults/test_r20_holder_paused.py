"""R20: a lease holder is paused for longer than its lease; then its writes are refused."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import NamedTuple

import pytest

from apps.runs.models import Attempt, Event, MetricPoint, Run, RunState
from tests.faults.plant import engines, wait_for_state
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.slow


class Paused(NamedTuple):
    """A run whose worker and engine stand still since its first points, as on a machine asleep."""

    run: Run
    worker: subprocess.Popen[bytes]
    engine: int  # its pid; it dies with the worker


def pause(plant, run) -> Paused:
    worker = plant.start_worker()
    plant.start_ticker()
    wait_until(lambda: MetricPoint.objects.count() > 5, "the first points")
    (engine,) = engines(run)
    os.kill(engine, signal.SIGSTOP)
    plant.pause(worker)
    return Paused(run, worker, engine)


def wake_late(plant, worker) -> None:
    """Let the worker go on, after its lease; returns when it has noticed."""
    worker.send_signal(signal.SIGCONT)
    wait_until(lambda: "was replaced" in plant.log.read_text(), "the late holder to notice", 20)


def test_r20_a_holder_that_wakes_up_late_writes_nothing(plant, make_run):
    run, worker, engine = pause(plant, make_run(resolved={"n_steps": 300, "step_s": 0.02}))
    plant.start_worker()
    second = Event.objects.filter(attempt__number=2)
    # It has ingested what the first attempt left before it told of anything itself.
    wait_until(second.exists, "the second attempt to tell of itself", 60)
    told = Event.objects.filter(attempt__number=1).count()
    os.kill(engine, signal.SIGCONT)
    wake_late(plant, worker)
    wait_for_state(run, RunState.SUCCEEDED)
    wait_until(lambda: not engines(run), "the first engine to be gone", 20)
    assert Attempt.objects.count() == 2
    assert Event.objects.filter(attempt__number=1).count() == told
    assert [event.attempt.number for event in Event.objects.filter(type="result")] == [2]


def test_r20_what_its_engine_finished_meanwhile_is_taken_over_once(plant, make_run):
    plant.environment["SYNTHWEB_LEASE_SECONDS"] = "12"  # the engine needs 4 of them
    run, worker, engine = pause(plant, make_run(resolved={"n_steps": 200, "step_s": 0.02}))
    os.kill(engine, signal.SIGCONT)
    wait_until(lambda: not engines(run), "the engine to end without its worker")
    plant.start_worker()
    wait_for_state(run, RunState.SUCCEEDED)
    wake_late(plant, worker)
    steps = MetricPoint.objects.filter(series__name="noop.step").values_list("step", flat=True)
    assert sorted(steps) == list(range(1, 201))
    assert [event.attempt.number for event in Event.objects.filter(type="result")] == [1]
