"""A step that takes minutes holds up no tick and is never done twice at once."""

from __future__ import annotations

import threading

import pytest

from apps.worker import tick as ticking
from tests.servers.waiting import wait_until


@pytest.fixture
def slow_step(monkeypatch):
    """A step that goes on until it is let go; counts how often it was begun."""
    begun: list[int] = []
    let_go = threading.Event()

    def step() -> int:
        begun.append(1)
        let_go.wait(20)
        return 1

    monkeypatch.setitem(ticking.STEPS, "pipelines", step)
    yield begun, let_go
    let_go.set()


@pytest.mark.django_db(transaction=True)
def test_ticks_go_on_beside_a_step_that_takes_long(slow_step):
    begun, let_go = slow_step
    beside = ticking.Beside("pipelines")
    beside.start()
    wait_until(lambda: begun, "the step to begin")
    done = ticking.tick(without=("pipelines",))
    assert "pipelines" not in done
    assert -1 not in done.values()
    beside.start()
    assert len(begun) == 1
    let_go.set()
    beside.wait(10)
    beside.start()
    wait_until(lambda: len(begun) == 2, "the next time")
    beside.wait(10)
