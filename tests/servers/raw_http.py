"""A server of raw HTTP/1.1 in a thread: the requests one by one, each answered byte for byte.

What a stand-in records and how it misbehaves is its own (`openai_server.py`,
`task_app_server.py`); here is what they have in common.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from typing import Self


class RawServer:
    """Listens from `with` (or `serve`) to its end, or to `stop()`. `port` 0: one that is free."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.port, self.tls = port, tls
        self.n_connections = 0
        self.in_flight = self.peak_in_flight = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run_thread, daemon=True)

    @property
    def origin(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Die. Safe twice."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    def _run_thread(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self.serve())
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def serve(self, *, announce: bool = False) -> None:
        """Serve until told to stop; announce prints the port."""
        server = await asyncio.start_server(
            self._connection, "127.0.0.1", self.port, limit=2**24, ssl=self.tls
        )
        self.port = server.sockets[0].getsockname()[1]
        if announce:
            print(self.port, flush=True)
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_connections += 1
        gone = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.suppress(*gone):
            while await self._request(reader, writer):
                pass
        with contextlib.suppress(RuntimeError):
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        headers = _headers(head)
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
        path = head.split(b" ", 2)[1].decode().partition("?")[0]
        return await self.reply(path, headers, raw, writer)

    async def reply(
        self, path: str, headers: dict[str, str], raw: bytes, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; False when the connection is over. Names of headers are lower."""
        raise NotImplementedError

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Count a request as in flight meanwhile."""
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1


async def send(writer: asyncio.StreamWriter, status: int, body: bytes, extra: str = "") -> bool:
    writer.write(
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{extra}"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    await writer.drain()
    return True


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, value in pairs}
