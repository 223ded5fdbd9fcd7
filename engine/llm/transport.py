"""Kept-alive HTTP/1.1 for httpx, on asyncio's own streams: half the CPU time of its standard one.

Lives here: connections and their reuse. Not here: what is sent and retried (`client.py`).
A rollout makes thousands of small calls beside the games, and httpx's standard transport costs
about 1 ms of CPU a call in layers that choose between event loops. What it can that is not needed
here is left out: HTTP/2, proxies, streaming uploads. Parsing is h11's, TLS is asyncio's with
httpx's certificates.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Callable

import h11
import httpx

READ_BYTES = 65_536
Origin = tuple[str, str, int | None, str]  # scheme, host called, port, name for TLS


class KeepAliveTransport(httpx.AsyncBaseTransport):
    """One event loop only. Idle connections are kept, at most `max_idle` an origin.

    Timeouts but the one for connecting are the caller's: a cancelled request hangs up.
    """

    def __init__(self, *, connect_timeout_s: float, max_idle: int) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._max_idle = max_idle
        self._idle: defaultdict[Origin, list[_Connection]] = defaultdict(list)
        self._tls: ssl.SSLContext | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request with its whole body; the answer's body streams.

        A kept connection that the server has closed meanwhile is replaced once, which is safe
        because the server never answered on it. Raises httpx.TransportError.
        """
        name = str(request.extensions.get("sni_hostname") or request.url.host)
        url = request.url
        origin = (url.scheme, url.host, url.port, name)
        body = await request.aread()
        while True:
            idle = self._idle[origin]
            connection = idle.pop() if idle else None
            fresh = connection is None
            if connection is None:
                connection = await self._connect(url, name)
            try:
                head = await connection.send(request, body)
                break
            except _ClosedBeforeAnswer as err:
                connection.close()
                if fresh:
                    raise httpx.RemoteProtocolError(
                        "the server closed the connection without an answer"
                    ) from err
            except (OSError, h11.RemoteProtocolError) as err:
                connection.close()
                raise httpx.ReadError(str(err)) from err
            except BaseException:
                connection.close()
                raise
        stream = _Body(connection, lambda: self._keep(origin, connection))
        return httpx.Response(head.status_code, headers=list(head.headers), stream=stream)

    async def aclose(self) -> None:
        """Close what is idle."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    def _keep(self, origin: Origin, connection: _Connection) -> None:
        if connection.may_be_reused() and len(self._idle[origin]) < self._max_idle:
            self._idle[origin].append(connection)
        else:
            connection.close()

    async def _connect(self, url: httpx.URL, server_name: str) -> _Connection:
        context = None
        if url.scheme == "https":
            self._tls = self._tls or httpx.create_ssl_context()
            context = self._tls
        port = url.port or (443 if context else 80)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                reader, writer = await asyncio.open_connection(
                    url.host,
                    port,
                    ssl=context,
                    server_hostname=server_name if context else None,
                )
        except TimeoutError as err:
            raise httpx.ConnectTimeout("connecting took too long") from err
        except OSError as err:
            raise httpx.ConnectError(str(err)) from err
        return _Connection(reader, writer)


class _ClosedBeforeAnswer(Exception):
    """The server hung up before a byte of its answer came."""


class _Connection:
    """One connection, one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.CLIENT)
        self._answered = False

    async def send(self, request: httpx.Request, body: bytes) -> h11.Response:
        """Write the request, read the answer's head. Raises _ClosedBeforeAnswer, OSError."""
        self._answered = False
        head = h11.Request(
            method=request.method, target=request.url.raw_path, headers=request.headers.raw
        )
        parts = [self._http.send(event) for event in (head, h11.Data(body), h11.EndOfMessage())]
        try:
            self._writer.write(b"".join(part for part in parts if part))
            await self._writer.drain()
        except ConnectionError as err:
            raise _ClosedBeforeAnswer from err
        while True:
            event = await self.next_event()
            if isinstance(event, h11.Response):
                return event

    async def next_event(self) -> h11.Event | None:
        """The next piece of the answer, None behind its end.

        Raises h11.RemoteProtocolError when the answer is cut off or no HTTP.
        """
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event if isinstance(event, h11.Event) else None
            try:
                data = await self._reader.read(READ_BYTES)
            except ConnectionError:
                data = b""
            if not data and not self._answered:
                raise _ClosedBeforeAnswer
            self._answered = True
            self._http.receive_data(data)

    def may_be_reused(self) -> bool:
        """Make ready for the next request; False when either side wants to close."""
        try:
            self._http.start_next_cycle()
        except h11.LocalProtocolError:
            return False
        return not self._reader.at_eof()

    def close(self) -> None:
        """Hang up at once, whatever is still under way."""
        self._writer.transport.abort()


class _Body(httpx.AsyncByteStream):
    """The answer's body; a body read to its end hands its connection back."""

    def __init__(self, connection: _Connection, give_back: Callable[[], None]) -> None:
        self._connection, self._give_back = connection, give_back
        self._complete = self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while True:
                event = await self._connection.next_event()
                if isinstance(event, h11.Data):
                    yield bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    self._complete = True
                    return
                else:
                    raise httpx.RemoteProtocolError("the answer ended before its end")
        except (OSError, h11.RemoteProtocolError) as err:
            raise httpx.RemoteProtocolError(str(err)) from err

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._complete:
            self._give_back()
        else:
            self._connection.close()
