"""A model server that vanished is looked up once more, and the call goes to the new one."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import httpx
import pytest
from django.db import connection

from apps.checkpoints import services
from apps.checkpoints.models import ModelServer
from apps.inference import callers, targets
from apps.inference.router import application
from apps.runs.keys import make_run_key
from tests.games import make_run
from tests.servers.openai_server import OpenAIServer
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def checkpoint(project, announce):
    callers._known.clear()
    targets._known.clear()
    return announce(make_run(project, "base", model="synthweb/tiny"))


@pytest.fixture
def server():
    with OpenAIServer() as started:
        yield started


def serve_at(checkpoint, port: int) -> services.ServerClaim:
    """What a worker's serve slot does, with a process that somebody else runs."""
    services.want_model(checkpoint)
    claim = services.claim_server(server_id=ModelServer.objects.get().pk, worker="w")
    assert claim is not None
    services.server_ready(claim, address=f"http://127.0.0.1:{port}")
    for wanted in services.list_wanted(claim):
        services.model_ready(claim, served_id=wanted.served_id)
    return claim


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def call(checkpoint) -> httpx.Response:
    body: dict[str, Any] = {
        "model": checkpoint.model_id,
        "messages": [{"role": "user", "content": "play"}],
    }
    key = make_run_key(checkpoint.project_id, 1, 1)

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            headers = {"Authorization": f"Bearer {key}"}
            url = "/api/inference/v1/chat/completions"
            return await client.post(url, json=body, headers=headers, timeout=30)

    return asyncio.run(send())


def take_over_when_wanted(checkpoint, port: int) -> threading.Thread:
    """Another worker that takes the server as soon as it is wanted again."""

    def work() -> None:
        try:
            wait_until(lambda: ModelServer.objects.get().state == "wanted", "a wish")
            serve_at(checkpoint, port)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_run_key_reaches_the_server_under_the_checkpoints_uid(checkpoint, server):
    claim = serve_at(checkpoint, server.port)
    answer = call(checkpoint)
    assert answer.status_code == 200
    assert answer.json()["model"] == checkpoint.model_id
    assert server.requests[0]["model"] == checkpoint.uid
    assert server.keys[0] == f"Bearer {claim.secret}"


def test_a_server_where_nobody_listens_is_replaced_within_the_call(checkpoint, server):
    gone = serve_at(checkpoint, closed_port())
    other = take_over_when_wanted(checkpoint, server.port)
    answer = call(checkpoint)
    other.join(20)
    assert answer.status_code == 200
    assert len(server.requests) == 1
    assert not services.renew_server(gone)


def test_a_server_that_forgot_the_model_is_a_503_that_says_when_to_come_back(checkpoint, server):
    serve_at(checkpoint, server.port)
    server.default = "404"
    answer = call(checkpoint)
    assert (answer.status_code, len(server.requests)) == (503, 2)
    assert answer.headers["retry-after"]
    server.default = "ok"
    assert call(checkpoint).status_code == 200
