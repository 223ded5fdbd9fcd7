"""The decoding thread between requests."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
import pytest

pytest.importorskip("torch")

from engine.serve import worker
from engine.serve.app import make_app
from engine.serve.models import Models
from engine.serve.worker import Worker
from engine.train.card import Card, write_final
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


def test_a_full_queue_says_when_to_come_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tokenizer = tiny_tokenizer()
    write_final(tiny_model(tokenizer), tokenizer, tmp_path / "m", Card("", "", "", "", {}, {}))
    first, second = asyncio.run(ask_twice(tmp_path / "m", monkeypatch))
    assert first.status_code == 200
    assert (second.status_code, second.json()["error"]["code"]) == (429, "queue_full")
    assert float(second.headers["retry-after"]) > 0


async def ask_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[httpx.Response, httpx.Response]:
    """The same call with room in the queue and without."""
    models = Models()
    await models.load("small", folder)
    transport = httpx.ASGITransport(app=make_app(models, "secret"))
    headers = {"Authorization": "Bearer secret"}
    body = {"model": "small", "messages": [{"role": "user", "content": "tree"}], "max_tokens": 2}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test/v1", headers=headers
    ) as client:
        first = await client.post("/chat/completions", json=body)
        monkeypatch.setattr(worker, "MAX_WAITING", 0)
        second = await client.post("/chat/completions", json=body)
    await models.close()
    return first, second
