"""The SSE endpoints. `/stream/` feeds a page (one EventSource a page: browsers allow six a host);
`/api/v1/runs/{id}/events` with `Accept: text/event-stream` feeds programs.

A client that lost its connection comes back with `Last-Event-ID` and misses nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from urllib.parse import parse_qs

from apps.accounts.errors import Refused
from apps.accounts.queries import role_in
from synthweb.callers import find_actor, in_thread
from synthweb.routes import Receive, Scope, Send
from synthweb.streams import rows, topics
from synthweb.streams.hub import Subscription, hub
from synthweb.streams.rows import Item
from synthweb.streams.topics import Request

KEEPALIVE_S = 15.0
RECHECK_S = 30.0  # a session that ended ends its streams too
RETRY_MS = 2000
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]

Frame = Callable[[Item, dict[int, int]], str]


async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    """`/stream/?topic=…`: named events `run`, `live`, `pages` for a page."""
    query = parse_qs(scope["query_string"].decode("latin-1"))
    await _serve(scope, receive, send, query.get("topic", []), _last_event_id(scope), _named_frame)


async def run_events(scope: Scope, receive: Receive, send: Send) -> None:
    """`/api/v1/runs/{id}/events`: unnamed events, `id:` is the run-wide seq. `?after=` or 0."""
    run = scope["path_params"]["run_id"]
    query = parse_qs(scope["query_string"].decode("latin-1"))
    after = _last_event_id(scope) or query.get("after", ["0"])[0]
    await _serve(scope, receive, send, [f"run:{run}:{after}"], "", _plain_frame)


async def _serve(
    scope: Scope, receive: Receive, send: Send, names: list[str], last_id: str, frame: Frame
) -> None:
    """Authorise, subscribe, catch up, then follow until somebody ends it."""
    from synthweb.asgi import refuse

    try:
        request = topics.parse(names, last_id, topics.project_of(scope["actor"]))
        await in_thread(partial(topics.authorise, request.topics))
    except Refused as err:
        await refuse(send, err.status, err.code, str(err), err.hint)
        return
    newest = await in_thread(partial(rows.newest_seqs, request.topics.runs))
    subscription = hub.subscribe(request.topics, newest)
    watcher = asyncio.create_task(_watch(scope, receive, subscription))
    try:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await _write(send, f"retry: {RETRY_MS}\n\n")
        position = {run: request.after.get(run, newest[run]) for run in newest}
        async for items in _messages(request, subscription, position):
            await _write(
                send, "".join(frame(item, position) for item in items) or ": still here\n\n"
            )
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        watcher.cancel()
        hub.unsubscribe(subscription)


async def _messages(
    request: Request, subscription: Subscription, position: dict[int, int]
) -> AsyncIterator[list[Item]]:
    """First what the client missed, then what comes; empty lists keep the connection alive.

    `position` is counted up as items are framed, which drops what catch-up and live both hold.
    """
    for run_id in sorted(request.topics.runs):
        while not subscription.ended:
            found = await in_thread(partial(rows.events_after, run_id, position[run_id]))
            if found:
                yield found
            if len(found) < rows.PAGE:
                break
    seen: dict[int, int] = {}
    if request.topics.live or request.topics.live_runs:
        snapshot = await in_thread(partial(_running_games, request))
        seen = {item.key: item.number for item in snapshot}
        yield snapshot
    while not subscription.ended:
        items = await subscription.take(KEEPALIVE_S)
        fresh = [item for item in items if _is_new(item, position, seen)]
        if fresh or not items:
            yield fresh


def _running_games(request: Request) -> list[Item]:
    wanted = request.topics
    projects = [wanted.project_id] if wanted.live else []
    ids = rows.live_versions(projects, wanted.live_runs)
    return [item for _, _, item in rows.live_changes(ids, {}, max_views=1)]


def _is_new(item: Item, position: dict[int, int], seen: dict[int, int]) -> bool:
    """False for what catch-up has sent already; within one batch seqs count up."""
    if item.topic == "run":
        return item.number > position.get(item.run_id, 0)
    if item.topic == "live":
        return item.number > seen.get(item.key, -1)
    return True


async def _watch(scope: Scope, receive: Receive, subscription: Subscription) -> None:
    """End the subscription when the client goes, or when it may not listen any more."""
    checked = time.monotonic()
    waiting = asyncio.ensure_future(receive())
    try:
        while not subscription.ended:
            await asyncio.wait({waiting}, timeout=RECHECK_S)
            if waiting.done():
                if waiting.result()["type"] == "http.disconnect":
                    subscription.end("gone")
                    return
                waiting = asyncio.ensure_future(receive())
            if time.monotonic() - checked >= RECHECK_S:
                checked = time.monotonic()
                if not await _may_still(scope):
                    subscription.end("logged out")
    finally:
        waiting.cancel()


async def _may_still(scope: Scope) -> bool:
    """Whether the caller would get this stream again: logged in, and in its project (S14)."""
    actor, project = await find_actor(scope), scope["actor"].project
    if actor is None or actor.project == project:
        return actor is not None
    return await in_thread(partial(role_in, actor.user, project)) is not None


def _named_frame(item: Item, position: dict[int, int]) -> str:
    if item.topic != "run":
        return f"event: {item.topic}\ndata: {item.body}\n\n"
    position[item.run_id] = item.number
    return f"event: run\nid: {topics.format_position(position)}\ndata: {item.body}\n\n"


def _plain_frame(item: Item, position: dict[int, int]) -> str:
    position[item.run_id] = item.number
    return f"id: {item.number}\ndata: {item.body}\n\n"


async def _write(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


def _last_event_id(scope: Scope) -> str:
    return str(dict(scope["headers"]).get(b"last-event-id", b"").decode("latin-1"))
