"""What the web's sockets must be."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest

from engine.serve.__main__ import _listen as listen_for_models
from synthweb.http_protocol import MAX_HEAD_BYTES
from synthweb.server import listen
from tests.servers.web import serve


@pytest.mark.parametrize(
    "make", [lambda: listen("127.0.0.1", 0), lambda: listen_for_models(0)], ids=["web", "models"]
)
def test_answers_leave_at_once_instead_of_waiting_for_an_acknowledgement(make):
    """Nagle and delayed acknowledgements together cost 40 ms a request on a kept connection."""

    async def nodelay_of_an_accepted_connection() -> int:
        accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def on_connection(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            accepted.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with make() as listener:
            server = await asyncio.start_server(on_connection, sock=listener)
            _, writer = await asyncio.open_connection(*listener.getsockname())
            found = await asyncio.wait_for(accepted, 10)
            writer.close()
            server.close()
        return found

    assert asyncio.run(nodelay_of_an_accepted_connection()) != 0


@pytest.mark.django_db(transaction=True)
def test_an_endless_head_is_refused_and_the_connection_serves_no_more():
    """Also on a kept connection, whose first request was fine; a long body is no head."""
    body = b"a" * (3 * MAX_HEAD_BYTES)
    fine = b"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    with serve() as web, socket.create_connection(("127.0.0.1", web.port), 10) as client:
        client.sendall(fine + body)
        assert b" 403 " in client.recv(1000)  # no token in this form; it was read to its end
        client.settimeout(1)
        while _receive(client):
            pass
        client.sendall(b"GET / HTTP/1.1\r\nX-Long: ")
        deadline, answer = time.monotonic() + 10, b""
        while time.monotonic() < deadline and b" 431 " not in answer:
            client.sendall(b"a" * 4096)
            answer += _receive(client)
        assert b" 431 " in answer


@pytest.mark.django_db(transaction=True)
def test_what_trails_a_body_is_not_collected():
    head = b"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serve() as web, socket.create_connection(("127.0.0.1", web.port), 10) as client:
        client.sendall(head + b"1\r\na\r\n0\r\n")
        deadline, answer = time.monotonic() + 10, b""
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < deadline and b" 431 " not in answer:
                client.sendall(b"x-trailer: " + b"a" * 4096 + b"\r\n")
                answer += _receive(client)
        assert b" 431 " in answer


def _receive(client: socket.socket) -> bytes:
    """What has come; nothing when nothing does for a while."""
    client.settimeout(0.05)
    try:
        return client.recv(100_000)
    except TimeoutError:
        return b""
