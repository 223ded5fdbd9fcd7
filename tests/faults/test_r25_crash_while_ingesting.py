"""R25: a worker dies with many events half ingested; ingest goes on at the next seq, none twice."""

from __future__ import annotations

import pytest
from django.db.models import Count

from apps.runs.models import Attempt, MetricPoint, Need, RunState
from apps.runs.services import claim_shard
from apps.worker.rundir import directory_of
from engine.events import EventWriter
from tests.faults.plant import wait_for_state
from tests.runs.conftest import expire_lease
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.slow
N_EVENTS = 100_000


def test_r25_a_hundred_thousand_events_are_stored_once_over_kills(plant, make_run):
    run = make_run(resolved={"n_steps": 1})
    dead = claim_shard(worker="dead", need=Need.ROLLOUT)
    directory = directory_of(run.pk, 0, dead.token)
    directory.mkdir(parents=True)
    writer = EventWriter(directory)
    for step in range(1, N_EVENTS + 1):
        writer.metric(step, {"loss": 1.0 / step})
    writer.close()
    expire_lease(dead)
    plant.start_ticker()
    for part in (1, 3):
        worker = plant.start_worker()
        enough = part * N_EVENTS // 10
        wait_until(lambda n=enough: MetricPoint.objects.count() > n, f"{enough} points", 60)
        plant.kill(worker)
    assert MetricPoint.objects.count() < N_EVENTS
    plant.start_worker()
    wait_for_state(run, RunState.SUCCEEDED, seconds=120)
    loss = MetricPoint.objects.filter(series__name="loss")
    assert loss.count() == N_EVENTS
    assert not loss.values("step").annotate(n=Count("id")).filter(n__gt=1).exists()
    assert not loss.values("seq").annotate(n=Count("id")).filter(n__gt=1).exists()
    assert Attempt.objects.get(number=1).ingested_seq == N_EVENTS
    assert run.event_seq >= N_EVENTS
