"""A key that an API repeats goes no further than the client that sent it."""

from __future__ import annotations

import asyncio

import pytest

from engine.errors import ProviderError
from engine.llm.client import ERROR_EXCERPT_BYTES, ChatClient
from engine.llm.redact import without_key
from engine.llm.types import ChatRequest, Sampling
from tests.servers.openai_server import OpenAIServer

KEY = "sk-0123456789abcdef"


def test_every_occurrence_goes():
    assert without_key(f"{KEY} and {KEY}x".encode(), KEY) == b"[key removed] and [key removed]x"


@pytest.mark.parametrize("key", ["", "x", "EMPTY"])
def test_a_placeholder_takes_no_words_apart(key):
    assert without_key(b"an EMPTY box", key) == b"an EMPTY box"


@pytest.mark.parametrize("key", [KEY, "k" * (ERROR_EXCERPT_BYTES - 20)])
def test_a_refused_key_is_not_in_the_error_even_at_the_edge_of_the_excerpt(key):
    with OpenAIServer() as server:
        server.default = "echo"
        with pytest.raises(ProviderError) as refused:
            asyncio.run(ask(server.base_url, key))
    assert key[:12] not in str(refused.value)
    assert "[key removed]" in str(refused.value)


async def ask(base_url: str, key: str) -> None:
    client = ChatClient(base_url, "m", key=key)
    await client.reply(ChatRequest([{"role": "user", "content": "x"}], [], "auto", Sampling()))
