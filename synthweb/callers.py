"""Who calls, for routes outside Django: the same check as a page's, by session or API key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from io import BytesIO
from typing import TypeVar

from django.conf import settings
from django.contrib.auth import get_user
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections

from apps.accounts.queries import Actor, actor_of_request
from synthweb.routes import Scope

T = TypeVar("T")

# Database reads of streams: two threads that keep their connections, a MB each.
_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="stream-db")
_engine = import_module(settings.SESSION_ENGINE)


async def in_thread(function: Callable[[], T]) -> T:
    """Run a database read beside the event loop, on a connection that still lives."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _fresh, function)


def _fresh(function: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return function()
    finally:
        close_old_connections()


async def find_actor(scope: Scope) -> Actor | None:
    """The caller of an ASGI scope, or None for a stranger."""
    return await in_thread(lambda: actor_of_request(django_request(scope)))


def django_request(scope: Scope) -> ASGIRequest:
    """The scope as a Django request with session and user, without its body."""
    request = ASGIRequest(dict(scope), BytesIO())
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    request.session = _engine.SessionStore(key)
    request.user = get_user(request)
    return request
