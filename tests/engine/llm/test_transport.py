"""Kept-alive connections: reused, replaced when the server has hung up, and checked by TLS."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from engine.llm.transport import KeepAliveTransport
from tests.servers.openai_server import OpenAIServer

BODY = {"messages": []}


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


def post(url: str, n: int = 1, *, at_once: bool = False) -> list[httpx.Response]:
    async def run() -> list[httpx.Response]:
        transport = KeepAliveTransport(connect_timeout_s=5, max_idle=4)
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            if at_once:
                return list(await asyncio.gather(*(client.post(url, json=BODY) for _ in range(n))))
            return [await client.post(url, json=BODY) for _ in range(n)]

    return asyncio.run(run())


def test_one_connection_serves_calls_one_after_the_other(server: OpenAIServer):
    answers = post(server.base_url, 5)
    assert [answer.status_code for answer in answers] == [200] * 5
    assert server.n_connections == 1


def test_calls_at_once_have_connections_of_their_own(server: OpenAIServer):
    server.latency_s = 0.05
    assert len(post(server.base_url, 4, at_once=True)) == 4
    assert server.n_connections == 4


def test_a_connection_that_the_server_closed_is_replaced(server: OpenAIServer):
    server.script("goodbye", "goodbye", "ok")
    assert [answer.status_code for answer in post(server.base_url, 3)] == [200] * 3
    assert server.n_connections == 3


def test_a_new_connection_closed_without_an_answer_is_an_error(server: OpenAIServer):
    server.script("close")
    with pytest.raises(httpx.RemoteProtocolError, match="without an answer"):
        post(server.base_url)


async def _raw_server(answer: bytes) -> asyncio.Server:
    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(connection, "127.0.0.1", 0)


def fetch(answer: bytes) -> httpx.Response:
    """What the client makes of these very bytes."""

    async def run() -> httpx.Response:
        async with await _raw_server(answer) as server:
            port = server.sockets[0].getsockname()[1]
            transport = KeepAliveTransport(connect_timeout_s=5, max_idle=4)
            async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
                return await client.post(f"http://127.0.0.1:{port}/", content=b"")

    return asyncio.run(run())


def test_chunked_and_compressed_answers_are_read():
    packed = gzip.compress(b"hello")
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    assert fetch(head + chunks).content == b"hello"


def test_an_answer_that_ends_with_its_connection_is_read():
    assert fetch(b"HTTP/1.1 200 OK\r\n\r\nall of it").content == b"all of it"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"\x16\x03\x01 not HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 300_000,
    ],
)
def test_a_torn_or_foreign_answer_is_a_transport_error(answer: bytes):
    with pytest.raises(httpx.TransportError):
        fetch(answer)


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[OpenAIServer, Path]]:
    """A server with a certificate of its own making, for 127.0.0.1."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with OpenAIServer(tls=context) as running:
        yield running, certificate


def test_an_unknown_certificate_is_refused(tls_server: tuple[OpenAIServer, Path]):
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        post(tls_server[0].base_url)
    assert tls_server[0].requests == []


def test_a_certificate_that_the_operator_trusts_is_accepted(
    tls_server: tuple[OpenAIServer, Path], monkeypatch: pytest.MonkeyPatch
):
    server, certificate = tls_server
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert [answer.status_code for answer in post(server.base_url, 2)] == [200, 200]
    assert server.n_connections == 1


def test_the_name_is_checked_where_an_address_is_called(
    tls_server: tuple[OpenAIServer, Path], monkeypatch: pytest.MonkeyPatch
):
    server, certificate = tls_server
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def run() -> None:
        transport = KeepAliveTransport(connect_timeout_s=5, max_idle=4)
        async with httpx.AsyncClient(transport=transport) as client:
            name = {"sni_hostname": "api.example.org"}
            await client.post(server.base_url, json=BODY, extensions=name)

    with pytest.raises(httpx.ConnectError, match=r"api\.example\.org"):
        asyncio.run(run())
