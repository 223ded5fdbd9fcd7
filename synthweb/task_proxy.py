"""`/task/NAME/…`: passes calls on to the task app, a process of its own that checks its key.

Nothing of ours is added: no session, no key. A caller that hangs up is hung up on there too, so
that its episode ends. Not here: the task app itself (`engine/http`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache

import httpx
from django.conf import settings

from synthweb.routes import Receive, Scope, Send

MAX_BODY_BYTES = 2 << 20  # the task app takes 1 MB and says so itself
CONNECT_TIMEOUT_S = 5.0
STARTING_S = 20.0  # it starts after the web, and again when it died; a busy machine needs seconds
# Of the request; cookies and proxies' words are the web's own business.
_PASSED = frozenset(
    (b"host", b"authorization", b"x-api-key", b"x-api-keys", b"content-type", b"content-length",
     b"accept", b"user-agent")
)  # fmt: skip
_KEPT = frozenset((b"content-type", b"content-length", b"retry-after", b"allow", b"location"))


class _TooLarge(Exception):
    """The body is larger than any call needs."""


class _HungUp(Exception):
    """The caller is gone."""


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what the task app answers; 502 when nothing comes."""
    from synthweb.asgi import refuse

    try:
        body = await _read(receive)
        request = _request(scope, body)
        async with _sent(request, receive) as answer:
            await _pass_back(answer, send)
    except _TooLarge:
        await refuse(send, 413, "too_large", f"The body is larger than {MAX_BODY_BYTES} bytes.")
    except httpx.TransportError:
        hint = "It starts again by itself; look at logs/task-app.log if it does not."
        await refuse(send, 502, "task_app_away", "The task app does not answer.", hint)
    except _HungUp:
        pass


async def _read(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _HungUp
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            raise _TooLarge
        if not message.get("more_body"):
            return b"".join(parts)


def _request(scope: Scope, body: bytes) -> httpx.Request:
    """The call as it came, to the task app's own address."""
    path = scope.get("raw_path") or scope["path"].encode()
    query = scope.get("query_string", b"")
    target = path + b"?" + query if query else path
    url = httpx.URL(settings.TASK_APP_INTERNAL_URL).copy_with(raw_path=target)
    headers = [pair for pair in scope["headers"] if pair[0] in _PASSED]
    return httpx.Request(scope["method"], url, headers=headers, content=body)


@asynccontextmanager
async def _sent(request: httpx.Request, receive: Receive) -> AsyncIterator[httpx.Response]:
    """The answer with its body still to come; given up when the caller hangs up first."""
    client = _client(asyncio.get_running_loop())
    sending = asyncio.create_task(_send(client, request))
    gone = asyncio.create_task(_wait_for_hang_up(receive))
    try:
        await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            raise _HungUp
        answer = await sending
    finally:
        gone.cancel()
        sending.cancel()  # does nothing to one that is done
    try:
        yield answer
    finally:
        await answer.aclose()


async def _send(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """The answer. While nobody listens there nothing was sent: asked again, for STARTING_S."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STARTING_S
    while True:
        try:
            return await client.send(request, stream=True)
        except httpx.ConnectError:
            if loop.time() >= deadline:
                raise
        await asyncio.sleep(0.1)


async def _wait_for_hang_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _pass_back(answer: httpx.Response, send: Send) -> None:
    headers = [(k.lower(), v) for k, v in answer.headers.raw if k.lower() in _KEPT]
    headers.append((b"cache-control", b"no-store"))
    start = {"type": "http.response.start", "status": answer.status_code, "headers": headers}
    await send(start)
    async for piece in answer.aiter_raw():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@lru_cache(maxsize=8)
def _client(loop: asyncio.AbstractEventLoop) -> httpx.AsyncClient:
    """One pool of connections an event loop. A rollout takes as long as it takes."""
    limits = httpx.Limits(max_connections=512, max_keepalive_connections=32)
    timeout = httpx.Timeout(None, connect=CONNECT_TIMEOUT_S)
    return httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False)
