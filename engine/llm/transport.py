"""Kept-alive HTTP/1.1 connections to one model API, on asyncio's own streams.

Lives here: connections, their reuse, one POST and its answer. Not here: what is sent, retried and
understood (`client.py`). A rollout makes thousands of small calls beside the games. A library that
can everything costs 0.2 ms of CPU a call, as much as playing the turn; what is needed here is one
request with a whole body and an answer that is read to a limit. Left out: HTTP/2, proxies,
redirects, cookies. TLS is asyncio's with httpx's certificates.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

PIECE_BYTES = 65_536
_STATUS = re.compile(rb"HTTP/1\.([01]) (\d{3})(?: .*)?")
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_ANY_ZLIB = 32 + zlib.MAX_WBITS  # gzip or zlib, by their headers


class TransportError(Exception):
    """No connection, or an answer that is torn or no HTTP; says what happened."""


class _ClosedBeforeAnswer(Exception):
    """The server hung up before a byte of its answer came."""


class Origin(NamedTuple):
    """Where to connect. `server_name` is the name that TLS checks; "" is plain HTTP."""

    host: str
    port: int
    server_name: str


class Answer:
    """The head of an answer; the body is still to be read. `close` it in any case."""

    def __init__(
        self, status: int, headers: Mapping[str, str], connection: _Connection, pool: KeepAlive
    ) -> None:
        self.status, self.headers = status, headers
        self._connection, self._pool = connection, pool
        self._whole = False

    async def read(self, limit: int) -> bytes:
        """The decoded body; more than `limit` bytes mean that there is more, unread.

        Raises TransportError for a body that is torn, unreadable or ends too early.
        """
        pieces, size = [], 0
        try:
            async for piece in self._decoded(limit):
                pieces.append(piece)
                size += len(piece)
                if size > limit:
                    break
            else:
                self._whole = True
        except (OSError, EOFError, ValueError, zlib.error) as err:
            raise TransportError(f"the answer ended before its end ({err})") from err
        return b"".join(pieces)

    async def _decoded(self, limit: int) -> AsyncIterator[bytes]:
        """Pieces of the body, unpacked; of packed ones no more than the limit needs."""
        pieces = self._connection.body(self.status, self.headers)
        if self.headers.get("content-encoding", "identity").lower() == "identity":
            async for piece in pieces:
                yield piece
            return
        unpacker = zlib.decompressobj(_ANY_ZLIB)
        async for piece in pieces:
            yield unpacker.decompress(piece, limit + 1)
        if not unpacker.eof:
            raise EOFError("its packed body is cut off")

    def close(self) -> None:
        """Keep the connection for the next call, or hang up on a body that was not read whole."""
        self._pool.give_back(self._connection, self._whole and self._may_be_kept())

    def _may_be_kept(self) -> bool:
        wants_close = "close" in self.headers.get("connection", "").lower()
        return self._connection.persistent and not wants_close


class KeepAlive:
    """Connections to one origin, for one event loop. Idle ones are kept, at most `max_idle`.

    Timeouts but the one for connecting are the caller's: a cancelled call hangs up.
    """

    def __init__(self, origin: Origin, *, connect_timeout_s: float, max_idle: int) -> None:
        self._origin = origin
        self._connect_timeout_s = connect_timeout_s
        self._max_idle = max_idle
        self._idle: list[_Connection] = []
        self._tls: ssl.SSLContext | None = None

    async def send(self, request: bytes) -> Answer:
        """Send a whole request; its answer's body is still to come. Raises TransportError.

        A kept connection that the server has closed meanwhile is replaced, which is safe because
        the server never answered on it.
        """
        while True:
            fresh = not self._idle
            connection = await self._connect() if fresh else self._idle.pop()
            try:
                head = await connection.exchange(request)
                return Answer(head.status, head.headers, connection, self)
            except _ClosedBeforeAnswer as err:
                connection.close()
                if fresh:
                    raise TransportError(
                        "the server closed the connection without an answer"
                    ) from err
            except (OSError, EOFError, ValueError) as err:
                connection.close()
                raise TransportError(f"the answer is torn or no HTTP ({err})") from err
            except BaseException:
                connection.close()
                raise

    def give_back(self, connection: _Connection, reusable: bool) -> None:
        """Take an answered connection back, or close it."""
        if reusable and connection.is_open() and len(self._idle) < self._max_idle:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close what is idle."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _connect(self) -> _Connection:
        origin = self._origin
        tls = self._tls_context() if origin.server_name else None
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                reader, writer = await asyncio.open_connection(
                    origin.host, origin.port, ssl=tls, server_hostname=origin.server_name or None
                )
        except TimeoutError as err:
            raise TransportError("connecting took too long") from err
        except OSError as err:
            raise TransportError(str(err)) from err
        return _Connection(reader, writer)

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            import httpx  # it knows where certificates lie; plain HTTP does without its 50 ms

            self._tls = httpx.create_ssl_context()
        return self._tls


class _Head(NamedTuple):
    status: int
    headers: dict[str, str]


class _Connection:
    """One connection, one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.persistent = True  # as far as the last answer says

    async def exchange(self, request: bytes) -> _Head:
        """Write the request, read the answer's head.

        Raises _ClosedBeforeAnswer, OSError, EOFError; ValueError for what is no HTTP.
        """
        try:
            self._writer.write(request)
            await self._writer.drain()
        except ConnectionError as err:
            raise _ClosedBeforeAnswer from err
        while True:
            head = await self._head()
            if head.status >= 200:  # before it there may be "100 Continue"
                return head

    async def _head(self) -> _Head:
        try:
            raw = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as err:
            if not err.partial:
                raise _ClosedBeforeAnswer from err
            raise
        except ConnectionError as err:
            raise _ClosedBeforeAnswer from err
        except asyncio.LimitOverrunError as err:
            raise ValueError("its head is too long") from err
        first, *lines = raw[:-4].split(b"\r\n")
        status = _STATUS.fullmatch(first)
        if status is None:
            raise ValueError(f"it begins {first[:40]!r}")
        self.persistent = status[1] == b"1"
        return _Head(int(status[2]), _read_headers(lines))

    async def body(self, status: int, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
        """The body's pieces as they come. Raises EOFError when it is cut off."""
        if status in (204, 304):
            return
        if "chunked" in headers.get("transfer-encoding", "").lower():
            async for piece in self._chunks():
                yield piece
        elif "content-length" in headers:
            async for piece in self._exactly(_size(headers["content-length"].encode(), 10)):
                yield piece
        else:
            self.persistent = False  # the body ends with the connection
            while piece := await self._reader.read(PIECE_BYTES):
                yield piece

    async def _chunks(self) -> AsyncIterator[bytes]:
        while size := _size((await self._line()).split(b";")[0].strip(), 16):
            async for piece in self._exactly(size):
                yield piece
            if await self._line():
                raise ValueError("a chunk is longer than it says")
        while await self._line():
            pass  # trailers

    async def _line(self) -> bytes:
        try:
            return (await self._reader.readuntil(b"\r\n"))[:-2]
        except asyncio.LimitOverrunError as err:
            raise ValueError("a line between chunks is too long") from err

    async def _exactly(self, size: int) -> AsyncIterator[bytes]:
        while size:
            piece = await self._reader.readexactly(min(size, PIECE_BYTES))
            size -= len(piece)
            yield piece

    def is_open(self) -> bool:
        """Whether the other side has not hung up, as far as is known."""
        return not self._reader.at_eof()

    def close(self) -> None:
        """Hang up at once, whatever is still under way."""
        self._writer.transport.abort()


def _read_headers(lines: list[bytes]) -> dict[str, str]:
    """Headers by their names in lower case, the last of a name. Raises ValueError."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name or name != name.strip():
            raise ValueError(f"a header reads {line[:40]!r}")
        headers[name.lower()] = value.strip()
    return headers


def _size(text: bytes, base: int) -> int:
    """A length without sign, space or underscore. Raises ValueError."""
    if not _SIZE.fullmatch(text):
        raise ValueError(f"a length reads {text[:40]!r}")
    return int(text, base)
