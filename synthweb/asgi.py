"""The ASGI router: pages and REST go to Django as WSGI in threads, the rest to async callables.

Django's middleware is synchronous: under ASGI each request costs thread hops and every open stream
pins a thread. Measured with 200 streams and 10 events/s: 148 pages/s here, 58-99 under Django ASGI.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, MutableMapping
from typing import Any, cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "synthweb.settings")

from synthweb.wsgi import application as django_application  # sets Django up, so it comes first

# isort: split
from a2wsgi import WSGIMiddleware
from django.conf import settings
from django.http.request import split_domain_port, validate_host

from synthweb.callers import find_actor
from synthweb.middleware import CSP, PERMISSIONS
from synthweb.routes import Receive, Route, Scope, Send, find_route, load_app
from synthweb.static import static_app
from synthweb.streams.hub import hub
from synthweb.turns import Turns

DJANGO_THREADS = 6  # each costs a MB: a connection with its schema and pages
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

pages = WSGIMiddleware(cast(Any, django_application), workers=DJANGO_THREADS)
turns = Turns()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Send each connection to who answers it."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
    elif scope["path"].startswith("/static/"):
        await static_app(scope, receive, send)
    else:
        headers = dict(scope["headers"])
        accept = headers.get(b"accept", b"").decode("latin-1")
        found = find_route(scope["method"], scope["path"], accept)
        if found is None:
            if await _body_fits(scope, headers, send):
                async with turns.turn():
                    await pages(scope, receive, send)  # type: ignore[arg-type]
        else:
            route, params = found
            scope["path_params"] = params
            await _enter(route, scope, receive, send)


async def _enter(route: Route, scope: Scope, receive: Receive, send: Send) -> None:
    """Check host, method and caller as the route declares, then call its app."""
    if not _host_allowed(scope):
        await refuse(send, 400, "bad_host", "This host name is not served here.")
        return
    if scope["method"] not in route.methods:
        await refuse(send, 405, "method_not_allowed", f"Use {' or '.join(route.methods)}.")
        return
    if route.auth == "account":
        actor = await find_actor(scope)
        if actor is None or (actor.via == "session" and scope["method"] not in SAFE_METHODS):
            await refuse(send, 401, "unauthorised", "Log in, or send an API key as Bearer.")
            return
        scope["actor"] = actor
    await load_app(route.app)(scope, receive, _with_headers(send))


async def _body_fits(scope: Scope, headers: Mapping[bytes, bytes], send: Send) -> bool:
    """Refuse a body that is too large, or of unknown length, before any of it is written down.

    The server takes no more from a client than its Content-Length says.
    """
    length = headers.get(b"content-length", b"0")
    most = settings.MAX_UPLOAD_BYTES
    if b"transfer-encoding" in headers:
        await refuse(send, 411, "length_required", "Say how long the body is: Content-Length.")
        return False
    if not length.isdigit() or int(length) > most:
        words = f"The body is larger than {most >> 20} MB."
        hint = "SYNTHWEB_MAX_UPLOAD_MB allows more; commands at the shell have no limit."
        await refuse(send, 413, "too_large", words, hint)
        return False
    return True


def _host_allowed(scope: Scope) -> bool:
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def _with_headers(send: Send) -> Send:
    """Add the security headers that Django's middleware gives to pages."""
    extra = [
        (b"content-security-policy", CSP.encode()),
        (b"permissions-policy", PERMISSIONS.encode()),
        (b"referrer-policy", b"same-origin"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
    ]

    async def sender(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *extra]
        await send(message)

    return sender


async def refuse(send: Send, status: int, code: str, message: str, hint: str = "") -> None:
    """Answer with the error shape of `/api/v1`."""
    error = {"code": code, "message": message, "hint": hint, "fields": {}}
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await _with_headers(send)({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            hub.open()
            turns.open()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await hub.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
