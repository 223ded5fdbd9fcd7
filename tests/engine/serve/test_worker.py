"""The decoding thread between requests."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("torch")

from engine.serve import worker
from engine.serve.worker import Worker
from tests.engine.train.cast import tiny_model, tiny_tokenizer
from tests.servers.waiting import wait_until


def test_an_idle_worker_gives_memory_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []
    monkeypatch.setattr(worker, "IDLE_S", 0.02)
    monkeypatch.setattr(worker, "give_memory_back", lambda: given.append(time.monotonic()))
    idle = Worker(tiny_model(tiny_tokenizer()), "small")
    try:
        wait_until(lambda: given, "memory to be given back")
        assert not wait_for_more(given)
    finally:
        idle.close()


def wait_for_more(given: list[float]) -> bool:
    """Whether it happens again within ten idle times."""
    deadline = time.monotonic() + 10 * worker.IDLE_S
    while time.monotonic() < deadline and len(given) == 1:
        time.sleep(worker.IDLE_S)
    return len(given) > 1
