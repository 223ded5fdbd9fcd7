"""R5, R6: the broker is killed and comes back empty; messages come thrice, late or never."""

from __future__ import annotations

import pytest

from apps.runs.models import Attempt, MetricPoint, RunState, Shard
from apps.runs.services.doorbell import RUN_SHARD
from synthweb.broker import celery_url
from synthweb.celery import app
from tests.faults.plant import wait_for_state
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.slow


def test_r05_runs_go_on_without_a_broker_and_queued_ones_start_after_it_returns(plant, make_run):
    plant.start_ticker()
    plant.start_worker()
    running = make_run(resolved={"n_steps": 200, "step_s": 0.02})
    wait_until(lambda: MetricPoint.objects.count() > 5, "the first points")
    plant.broker.kill()
    queued = make_run(resolved={"n_steps": 2})
    wait_for_state(running, RunState.SUCCEEDED)
    plant.broker.start()
    wait_for_state(queued, RunState.SUCCEEDED)
    assert Attempt.objects.count() == 2


def test_r06_a_message_that_never_came_is_made_up_by_the_tick(plant, make_run):
    plant.start_worker()
    plant.broker.kill()
    run = make_run(resolved={"n_steps": 2})  # its message went nowhere
    plant.broker.start()
    plant.start_ticker()
    wait_for_state(run, RunState.SUCCEEDED)
    assert Attempt.objects.count() == 1


def test_r06_a_message_delivered_thrice_and_late_is_one_execution(plant, make_run):
    plant.start_worker(rollout=4)
    run = make_run(resolved={"n_steps": 20, "step_s": 0.02})
    shard = Shard.objects.get()
    publisher = app.connection_for_write(celery_url(plant.broker.url))
    with publisher:
        for _ in range(3):
            app.send_task(RUN_SHARD, args=[shard.pk], queue="rollout", connection=publisher)
        wait_for_state(run, RunState.SUCCEEDED)
        app.send_task(RUN_SHARD, args=[shard.pk], queue="rollout", connection=publisher)
        other = make_run(resolved={"n_steps": 2})
        app.send_task(
            RUN_SHARD, args=[other.shards.get().pk], queue="rollout", connection=publisher
        )
        wait_for_state(other, RunState.SUCCEEDED)
    assert Attempt.objects.filter(shard=shard).count() == 1
