"""Kept-alive connections: reused, replaced when the server has hung up, and checked by TLS."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.llm.transport import KeepAlive, Origin, TransportError
from tests.servers.openai_server import OpenAIServer


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


TORN = gzip.compress(b"x" * 999, mtime=0)[:-4]


class Got(NamedTuple):
    status: int
    content: bytes


async def call(http: KeepAlive, limit: int = 100_000) -> Got:
    answer = await http.send(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
    try:
        return Got(answer.status, await answer.read(limit))
    finally:
        answer.close()


def keep_alive(port: int, server_name: str = "") -> KeepAlive:
    return KeepAlive(Origin("127.0.0.1", port, server_name), connect_timeout_s=5, max_idle=4)


def post(server: OpenAIServer, n: int = 1, *, at_once: bool = False, tls: str = "") -> list[int]:
    """The status of each of `n` calls; `tls` is the name that the certificate must have."""

    async def run() -> list[int]:
        http = keep_alive(server.port, tls)
        try:
            if at_once:
                return [got.status for got in await asyncio.gather(*(call(http) for _ in range(n)))]
            return [(await call(http)).status for _ in range(n)]
        finally:
            http.close()

    return asyncio.run(run())


def test_one_connection_serves_calls_one_after_the_other(server: OpenAIServer):
    assert post(server, 5) == [200] * 5
    assert server.n_connections == 1


def test_calls_at_once_have_connections_of_their_own(server: OpenAIServer):
    server.latency_s = 0.05
    assert post(server, 4, at_once=True) == [200] * 4
    assert server.n_connections == 4


def test_a_connection_that_the_server_closed_is_replaced(server: OpenAIServer):
    server.script("goodbye", "goodbye", "ok")
    assert post(server, 3) == [200] * 3
    assert server.n_connections == 3


def test_a_new_connection_closed_without_an_answer_is_an_error(server: OpenAIServer):
    server.script("close")
    with pytest.raises(TransportError, match="without an answer"):
        post(server)


async def _raw_server(answer: bytes) -> asyncio.Server:
    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(connection, "127.0.0.1", 0)


def fetch(answer: bytes, limit: int = 100_000) -> bytes:
    """What the client makes of these very bytes."""

    async def run() -> bytes:
        async with await _raw_server(answer) as server:
            http = keep_alive(server.sockets[0].getsockname()[1])
            return (await call(http, limit)).content

    return asyncio.run(run())


def test_chunked_and_compressed_answers_are_read():
    packed = gzip.compress(b"hello")
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    assert fetch(head + chunks) == b"hello"


def test_an_answer_that_ends_with_its_connection_is_read():
    assert fetch(b"HTTP/1.1 200 OK\r\n\r\nall of it") == b"all of it"


def test_an_answer_may_say_first_that_it_goes_on():
    assert fetch(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nyes") == b"yes"


def test_a_packed_answer_is_unpacked_to_the_limit_only():
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
    assert len(fetch(head + gzip.compress(b"x" * 50_000_000), limit=1000)) == 1001


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"\x16\x03\x01 not HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 300_000,
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot packed",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + TORN,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
)
def test_a_torn_or_foreign_answer_is_a_transport_error(answer: bytes):
    with pytest.raises(TransportError):
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
    with pytest.raises(TransportError, match="certificate verify failed"):
        post(tls_server[0], tls="127.0.0.1")
    assert tls_server[0].requests == []


def test_a_certificate_that_the_operator_trusts_is_accepted(
    tls_server: tuple[OpenAIServer, Path], monkeypatch: pytest.MonkeyPatch
):
    server, certificate = tls_server
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert post(server, 2, tls="127.0.0.1") == [200, 200]
    assert server.n_connections == 1


def test_the_name_is_checked_where_an_address_is_called(
    tls_server: tuple[OpenAIServer, Path], monkeypatch: pytest.MonkeyPatch
):
    server, certificate = tls_server
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    with pytest.raises(TransportError, match=r"api\.example\.org"):
        post(server, tls="api.example.org")
