"""S5: what people name as an address never leads inside, unless the operator said so."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest

from apps.accounts.errors import Refused
from apps.providers.guard import guarded_client
from apps.providers.urls import check_url, origin_of
from engine.llm.addresses import is_public
from tests.servers.openai_server import OpenAIServer

INSIDE = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f.0.0.1:80/",
    "http://0.0.0.0/",
    "http://10.0.0.5/",
    "http://172.16.3.4/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.64.0.1/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[fe80::1]/",
    "http://[fd00::1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://localhost/",
    "http://LOCALHOST./",
]


@pytest.mark.parametrize("url", INSIDE)
def test_addresses_inside_are_refused(url, settings):
    settings.ALLOW_HOSTS = []
    with pytest.raises(Refused) as refused:
        check_url(url)
    assert refused.value.code in ("private_address", "unknown_host")


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "gopher://x/", "ftp://x/", "http://", "http://user@host/", "//x",
     "http://a\\@b/", "http://x:99999/", "http://a b/", "http://[::1", "javascript:alert(1)"],
)  # fmt: skip
def test_what_is_no_plain_http_address_is_refused(url):
    with pytest.raises(Refused, match="cannot be called"):
        check_url(url)


def test_only_the_listed_port_of_a_host_is_open(settings):
    settings.ALLOW_HOSTS = ["127.0.0.1:8123"]
    assert check_url("http://127.0.0.1:8123/v1").address == "127.0.0.1"
    with pytest.raises(Refused):
        check_url("http://127.0.0.1:8124/v1")
    with pytest.raises(Refused):
        check_url("http://localhost:8123/v1")


def test_public_addresses_pass():
    assert is_public("93.184.216.34")
    assert is_public("2606:2800:220:1:248:1893:25c8:1946")
    assert not is_public("224.0.0.1")


def test_origins_are_normalised():
    assert origin_of("HTTPS://Api.Example.com/v1") == "https://api.example.com:443"


def test_a_name_that_turns_inside_between_check_and_call_reaches_nothing(settings, monkeypatch):
    """DNS rebinding: the look-up of the connection itself is the one that is checked."""
    settings.ALLOW_HOSTS = []
    with OpenAIServer() as server:
        answers = iter(["93.184.216.34", "127.0.0.1"])

        def resolve(host, port, **_):
            address = next(answers)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        monkeypatch.setattr("engine.llm.addresses.socket.getaddrinfo", resolve)
        check_url(f"http://rebind.example:{server.port}/v1")  # looks public now
        with pytest.raises(Refused, match=r"leads to 127\.0\.0\.1"):
            asyncio.run(_get(f"http://rebind.example:{server.port}/v1/models"))
        assert server.requests == []


def test_the_connection_goes_to_the_checked_address(settings, monkeypatch):
    """The name is never looked up again by the client below."""
    with OpenAIServer() as server:
        settings.ALLOW_HOSTS = [f"pinned.example:{server.port}"]
        real = socket.getaddrinfo
        calls = []

        def resolve(host, port, *args, **kwargs):
            if host != "pinned.example":
                return real(host, port, *args, **kwargs)
            calls.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr("engine.llm.addresses.socket.getaddrinfo", resolve)
        answer = asyncio.run(_get(f"http://pinned.example:{server.port}/v1/models"))
    assert answer.status_code in (200, 404)
    assert calls == ["pinned.example"]


def test_redirects_are_not_followed(settings):
    with OpenAIServer() as server:
        settings.ALLOW_HOSTS = [f"127.0.0.1:{server.port}"]
        server.default = "redirect"
        body = {"model": "x", "messages": []}
        answer = asyncio.run(_post(f"{server.base_url}/chat/completions", body))
        assert answer.status_code == 302
        assert len(server.requests) == 1


async def _get(url: str) -> httpx.Response:
    async with guarded_client() as client:
        return await client.get(url)


async def _post(url: str, body: dict) -> httpx.Response:
    async with guarded_client() as client:
        return await client.post(url, json=body)
