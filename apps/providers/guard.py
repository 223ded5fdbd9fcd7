"""The client for addresses that people name: every connection passes the check of `urls.py`.

Apart from the check, so that who only looks at addresses does not load an HTTP client.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import anyio.to_thread
import httpcore
import httpx

from apps.providers.urls import check_host


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections to checked addresses only: check and connection share one look-up."""

    def __init__(self) -> None:
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        address = await anyio.to_thread.run_sync(check_host, host, port)
        return await self._inner.connect_tcp(
            address, port, timeout, local_address, socket_options=socket_options
        )

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("sockets of this machine are not called")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class GuardedTransport(httpx.AsyncHTTPTransport):
    """For an httpx.AsyncClient that calls what people name: every connection passes the guard.

    No proxy is used: it would resolve names by itself. Raises Refused out of the request.
    """

    def __init__(self, *, max_connections: int = 200) -> None:
        super().__init__(trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=max_connections,
            max_keepalive_connections=64,
            keepalive_expiry=30.0,
            network_backend=GuardedBackend(),
        )


def guarded_client(*, timeout_s: float = 30.0) -> httpx.AsyncClient:
    """A client for addresses that people name; redirects are answers, never followed."""
    return httpx.AsyncClient(
        transport=GuardedTransport(), timeout=timeout_s, follow_redirects=False, trust_env=False
    )
