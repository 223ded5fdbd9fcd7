"""The registry of addresses outside Django: streams, inference, task apps.

One line a route, with its authentication declared; the router (synthweb/asgi.py) enforces it, and
the tests that walk every address walk this list too.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

# account: the router finds the Actor by session (safe methods only) or API key, else answers 401,
#          and hands it on as scope["actor"]
# itself:  the app checks keys of its own kind (run keys, a task app's environment key)
Auth = Literal["account", "itself"]


class Route(NamedTuple):
    name: str
    pattern: re.Pattern[str]  # of the whole path; named groups arrive in scope["path_params"]
    methods: tuple[str, ...]
    auth: Auth
    app: str  # "package.module:callable", imported on first use
    accept: str = ""  # only requests whose Accept names this; others go to Django
    example: str = ""  # an address that matches, for the tests that walk all


ROUTES: tuple[Route, ...] = (
    Route(
        name="stream",
        pattern=re.compile(r"/stream/"),
        methods=("GET",),
        auth="account",
        app="synthweb.streams.app:stream",
        example="/stream/?topic=pages",
    ),
    Route(
        name="run-events",
        pattern=re.compile(r"/api/v1/runs/(?P<run_id>\d+)/events"),
        methods=("GET",),
        auth="account",
        app="synthweb.streams.app:run_events",
        accept="text/event-stream",
        example="/api/v1/runs/1/events",
    ),
    Route(
        name="synth-events",
        pattern=re.compile(r"/api/(learning|sft|rl|orchestration)/jobs/(?P<job_id>\w+)/events"),
        methods=("GET",),
        auth="account",
        app="apps.synth.stream:job_events",
        accept="text/event-stream",
        example="/api/rl/jobs/job_0123456789abcdef/events",
    ),
    Route(
        name="inference",
        pattern=re.compile(r"/api/inference/.*"),
        methods=("GET", "POST"),
        auth="itself",
        app="apps.inference.router:application",
        example="/api/inference/v1/models",
    ),
    Route(
        name="task-app",
        pattern=re.compile(r"/task/.+"),
        methods=("GET", "HEAD", "POST"),
        auth="itself",
        app="synthweb.task_proxy:application",
        example="/task/grpo-crafter/health",
    ),
)


def find_route(method: str, path: str, accept: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a request and what its pattern names; None means Django answers.

    A wrong method still finds the route: the router answers 405.
    """
    for route in ROUTES:
        match = route.pattern.fullmatch(path)
        if match and (not route.accept or route.accept in accept) and _exists(route.app):
            return route, match.groupdict()
    return None


@lru_cache
def load_app(dotted: str) -> AsgiApp:
    """Import `package.module:callable`."""
    module, _, name = dotted.partition(":")
    app: AsgiApp = getattr(import_module(module), name)
    return app


@lru_cache
def _exists(dotted: str) -> bool:
    return find_spec(dotted.partition(":")[0]) is not None
