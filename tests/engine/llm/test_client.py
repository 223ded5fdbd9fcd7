"""The chat client against a server that misbehaves: what it retries, gives up, sends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from engine.errors import ConfigError, ProviderError
from engine.llm import client as client_module
from engine.llm.budget import RetryBudget
from engine.llm.client import ChatClient, ClientOptions
from engine.llm.replies import Prices
from engine.llm.types import ChatRequest, Reply, Sampling
from tests.servers.openai_server import OpenAIServer

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "interact_many",
            "parameters": {
                "type": "object",
                "properties": {"actions": {"type": "array"}},
                "required": ["actions"],
            },
        },
    }
]


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Own waits shrink to milliseconds; what a server asks for is kept."""
    monkeypatch.setattr("engine.llm.budget.FIRST_WAIT_S", 0.002)


def ask(
    server: OpenAIServer,
    *,
    n: int = 1,
    budget: RetryBudget | None = None,
    sampling: Sampling | None = None,
    **options: Any,
) -> list[Reply | BaseException]:
    """`n` calls at once; each result is the reply or its error."""

    async def calls() -> list[Reply | BaseException]:
        client = ChatClient(
            server.base_url, "tiny", key="sk-1", options=ClientOptions(**options), budget=budget
        )
        request = ChatRequest(
            [{"role": "user", "content": "hi 🌲"}], TOOLS, "auto", sampling or Sampling()
        )
        try:
            return await asyncio.gather(
                *(client.reply(request) for _ in range(n)), return_exceptions=True
            )
        finally:
            await client.close()

    return asyncio.run(calls())


def test_a_reply_carries_call_usage_and_cost(server: OpenAIServer):
    (reply,) = ask(server, prices=Prices(1.0, 10.0))
    assert isinstance(reply, Reply)
    assert reply.tool_calls[0].arguments == '{"actions": ["do"]}'
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (120, 7)
    assert reply.usage.cost_usd == pytest.approx((120 + 70) / 1e6)
    assert reply.model_ms > 0
    assert server.keys == ["Bearer sk-1"]


def test_the_request_says_what_the_config_says(server: OpenAIServer):
    sampling = Sampling(
        temperature=0.3, top_p=0.9, max_tokens=77, seed=5, extra={"thinking_mode": "think"}
    )
    ask(server, sampling=sampling, token_ids=True)
    body = server.requests[0]
    assert body["messages"] == [{"role": "user", "content": "hi 🌲"}]
    assert (body["temperature"], body["top_p"], body["max_tokens"], body["seed"]) == (
        0.3,
        0.9,
        77,
        5,
    )
    assert (body["thinking_mode"], body["return_token_ids"], body["tools"]) == (
        "think",
        True,
        TOOLS,
    )


@pytest.mark.parametrize(
    "fault",
    ["500", "503", "429", "truncated", "schema", "empty", "html", "refusal", "close", "huge"],
)
def test_a_passing_fault_is_retried(server: OpenAIServer, fault: str):
    budget = RetryBudget(5)
    server.script(fault, fault, "ok")
    (reply,) = ask(server, budget=budget)
    assert isinstance(reply, Reply)
    assert (reply.n_retries, budget.used, len(server.requests)) == (2, 2, 3)


@pytest.mark.parametrize("fault", ["hang", "stall", "drip"])
def test_silence_ends_at_the_timeout_and_is_retried(server: OpenAIServer, fault: str):
    server.script(fault, "ok")
    (reply,) = ask(server, timeout_s=1)
    assert isinstance(reply, Reply)
    assert reply.n_retries == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("500", "bad_status"),
        ("429", "rate_limited"),
        ("hang", "timeout"),
        ("stall", "timeout"),
        ("close", "no_connection"),
        ("truncated", "bad_answer"),
        ("schema", "bad_answer"),
        ("huge", "answer_too_large"),
        ("refusal", "refusal"),
    ],
)
def test_a_lasting_fault_ends_with_its_name(server: OpenAIServer, fault: str, code: str):
    server.default = fault
    (error,) = ask(server, timeout_s=0.3 if code == "timeout" else 30, max_tries=2)
    assert isinstance(error, ProviderError)
    assert error.code == code
    assert len(server.requests) == 2


@pytest.mark.parametrize("fault", ["400", "401", "404", "redirect"])
def test_what_cannot_help_is_not_retried(server: OpenAIServer, fault: str):
    server.default = fault
    (error,) = ask(server)
    assert isinstance(error, ProviderError)
    assert not error.retryable
    assert len(server.requests) == 1
    assert "sk-1" not in str(error) + error.hint


def test_retry_after_is_honoured(server: OpenAIServer):
    server.script("429:0.4", "ok")
    (reply,) = ask(server)
    assert isinstance(reply, Reply)
    assert server.times[1] - server.times[0] >= 0.4
    assert reply.queue_ms >= 400


def test_a_pause_that_is_too_long_ends_the_call(server: OpenAIServer):
    server.script("429:3600")
    started = time.monotonic()
    (error,) = ask(server)
    assert isinstance(error, ProviderError)
    assert (error.code, error.retry_after_s) == ("rate_limited", 3600)
    assert time.monotonic() - started < 5


def test_all_calls_share_one_budget(server: OpenAIServer):
    server.default = "500"
    budget = RetryBudget(3)
    errors = ask(server, n=10, budget=budget)
    assert all(isinstance(error, ProviderError) for error in errors)
    assert (budget.used, len(server.requests)) == (3, 13)
    assert any("all 3" in str(error) for error in errors)


def test_calls_in_flight_are_limited_and_connections_kept(server: OpenAIServer):
    server.latency_s = 0.02
    replies = ask(server, n=12, max_concurrent=3)
    assert all(isinstance(reply, Reply) for reply in replies)
    assert server.peak_in_flight == 3
    assert server.n_connections <= 3


def test_requests_a_second_are_limited(server: OpenAIServer):
    started = time.monotonic()
    ask(server, n=5, rps=20)
    assert time.monotonic() - started >= 4 / 20


def test_a_huge_answer_is_not_read_to_its_end(server: OpenAIServer):
    server.default = "huge:40000000"
    (error,) = ask(server, max_tries=1)
    assert isinstance(error, ProviderError)
    assert error.code == "answer_too_large"


def test_a_refused_connection_is_named():
    with OpenAIServer() as gone:
        port = gone.port
    closed = OpenAIServer(port=port)
    (error,) = ask(closed, max_tries=2)
    assert isinstance(error, ProviderError)
    assert error.code == "no_connection"


def test_the_checked_address_is_called_under_the_hosts_name():
    origin, head = client_module._target("https://api.example.org:8443/v1/", "192.0.2.7", "k")
    assert origin == ("192.0.2.7", 8443, "api.example.org")
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.example.org:8443\r\n")


@pytest.mark.parametrize(
    ("base_url", "key"),
    [
        ("ftp://example.org/v1", "k"),
        ("http:///v1", "k"),
        ("http://example.org:99999/v1", "k"),
        ("http://example.org/v1?x=\u2028", "k"),
        ("http://example.org/v1", "k\r\nX-Injected: 1"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is_called(base_url: str, key: str):
    with pytest.raises(ConfigError):
        ChatClient(base_url, "tiny", key=key)


def test_our_own_server_that_is_away_is_waited_for_without_spending_retries(
    server: OpenAIServer,
) -> None:
    budget = RetryBudget(1)
    server.script(*["503", "close"] * 5, "ok")
    [reply] = ask(server, budget=budget, max_tries=2, patience_s=30)
    assert isinstance(reply, Reply)
    assert (reply.n_retries, budget.used) == (0, 0)


def test_patience_ends(server: OpenAIServer) -> None:
    server.default = "503"
    began = time.monotonic()
    [error] = ask(server, max_tries=2, patience_s=0.05)
    assert isinstance(error, ProviderError)
    assert time.monotonic() - began < 10
