"""What the web's sockets must be."""

from __future__ import annotations

import asyncio
import socket

import pytest

from engine.serve.__main__ import _listen as listen_for_models
from synthweb.server import listen


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
