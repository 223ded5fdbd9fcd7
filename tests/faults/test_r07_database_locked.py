"""R7: the database is locked for half a minute; workers wait and go on."""

from __future__ import annotations

import sqlite3
import time

import pytest
from django.db import connection

from apps.runs.models import MetricPoint, RunState
from tests.faults.plant import wait_for_state
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.slow
LOCKED_S = 30.0


def test_r07_workers_wait_for_a_locked_database_and_go_on(plant, make_run):
    if connection.vendor != "sqlite":
        pytest.skip("a whole database can be locked on SQLite only")
    plant.environment["SYNTHWEB_LEASE_SECONDS"] = "60"
    plant.environment["SYNTHWEB_RENEW_SECONDS"] = "5"
    plant.start_ticker()
    plant.start_worker()
    run = make_run(resolved={"n_steps": 1500, "step_s": 0.02})
    wait_until(lambda: MetricPoint.objects.count() > 5, "the first points")
    locker = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None, timeout=20)
    locker.execute("BEGIN EXCLUSIVE")
    until = time.monotonic() + LOCKED_S
    while time.monotonic() < until:
        time.sleep(0.5)  # the length of the lock is the fault itself
    locker.execute("ROLLBACK")
    locker.close()
    wait_for_state(run, RunState.SUCCEEDED, seconds=90)
    assert run.n_attempts == 1
    told = MetricPoint.objects.exclude(series__name__startswith="system.")
    assert told.count() == 1500
