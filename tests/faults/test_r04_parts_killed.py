"""R4, R5: web, broker or ticker are killed; the supervisor brings them back and runs go on."""

from __future__ import annotations

import os
import signal

import pytest

from tests.servers.waiting import wait_until

pytestmark = pytest.mark.slow


def succeeded(instance, run_id):
    return instance.answers() and instance.state_of(run_id) == "succeeded"


@pytest.mark.parametrize("name", ["web", "broker", "ticker"])
def test_r04_a_run_goes_on_while_a_part_is_killed_and_comes_back(instance, name):
    run_id = instance.start_noop(n_steps=300, step_s=0.05)
    wait_until(lambda: instance.state_of(run_id) == "running", "the run to start", 60)
    victim = instance.children()[name]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: instance.children().get(name, victim) != victim, f"a new {name}", 30)
    wait_until(lambda: succeeded(instance, run_id), "the run to succeed", 60)


def test_r05_a_run_queued_while_the_broker_is_away_still_runs(instance):
    broker = instance.children()["broker"]
    os.kill(broker, signal.SIGSTOP)  # worse than dead: it takes connections and says nothing
    try:
        run_id = instance.start_noop(n_steps=2, step_s=0.01)
    finally:
        os.kill(broker, signal.SIGKILL)
    wait_until(lambda: instance.children().get("broker", broker) != broker, "a new broker", 30)
    wait_until(lambda: succeeded(instance, run_id), "the run to succeed", 60)
