"""Faults on real parts: processes killed with SIGKILL, a broker restarted, a database locked."""

from __future__ import annotations

import pytest

from tests.engine.conftest import player
from tests.faults.plant import run_plant
from tests.runs.conftest import make_run
from tests.servers import redis

__all__ = ["make_run", "player"]


@pytest.fixture
def own_broker():
    """A broker that this test may kill."""
    with redis.serve() as server:
        yield server


@pytest.fixture
def plant(transactional_db, tmp_path, own_broker, settings):
    """Workers and tickers on the test's database; this process talks to the same broker."""
    settings.BROKER_URL = own_broker.url
    with run_plant(tmp_path, own_broker) as made:
        yield made
