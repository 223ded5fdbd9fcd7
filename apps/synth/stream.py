"""The events of a job as a stream (`Accept: text/event-stream`), outside Django.

`id:` is the seq, `data:` the event as JSON has it; the stream ends behind the event that ends the
job. A client that comes back says where it was: `Last-Event-ID`, or `since_seq`.
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from apps.accounts.errors import Refused
from apps.accounts.models import Project
from apps.synth import events, queries
from synthweb.callers import in_thread
from synthweb.routes import Receive, Scope, Send
from synthweb.streams.app import HEADERS

LOOK_S = 1.0  # between two looks into the database
Found = list[dict[str, Any]]


async def job_events(scope: Scope, receive: Receive, send: Send) -> None:
    """`/api/{family}/jobs/{job_id}/events`, until the job or the client ends it."""
    from synthweb.asgi import refuse

    project, job_id = scope["actor"].project, scope["path_params"]["job_id"]
    try:
        since = _since(scope)
        found = await in_thread(partial(_look, project, job_id, since))
    except Refused as err:
        await refuse(send, err.status, err.code, str(err), err.hint)
        return
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    gone = asyncio.ensure_future(_gone(receive))
    try:
        while not gone.done():
            for event in found:
                text = f"id: {event['seq']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n"
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
                since = event["seq"]
            if any(events.is_terminal(event) for event in found):
                break
            if not found:
                await asyncio.wait({gone}, timeout=LOOK_S)
            found = await in_thread(partial(_look, project, job_id, since))
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        gone.cancel()


def _look(project: Project, job_id: str, since: int) -> Found:
    """What is new. Raises Refused(404)."""
    events.keep_alive(queries.find_job(project=project, job_id=job_id))
    return events.events_of(
        queries.find_job(project=project, job_id=job_id), since_seq=since, limit=500
    )


async def _gone(receive: Receive) -> None:
    """Ends when the client does."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _since(scope: Scope) -> int:
    """Where the client was. Raises Refused(422) for what is no number."""
    header = dict(scope["headers"]).get(b"last-event-id", b"").decode("latin-1")
    query = parse_qs(scope["query_string"].decode("latin-1"))
    text = header or query.get("since_seq", ["0"])[0]
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Refused("invalid", "since_seq is no whole number.", status=422)
    return int(text)
