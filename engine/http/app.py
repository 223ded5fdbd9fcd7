"""The ASGI application of a task app: one table of routes for every task that a process serves.

`make_app(settings)`; the first task answers at the root, each under `/task/NAME/…` by all of its
names. Every call but `/` needs a key; what goes wrong is answered as JSON (`problems.py`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from engine.errors import EngineError
from engine.http.access import check_key, read_object
from engine.http.env_routes import EnvRoutes
from engine.http.info import InfoRoutes
from engine.http.keeping import Keeper
from engine.http.problems import Json, Problem, fields_answer, problem_answer
from engine.http.proxy import ProxyRoutes
from engine.http.rollouts import RolloutRoutes, Runs
from engine.http.served import Served
from engine.http.settings import HttpSettings
from engine.tasks import names_of

MAKERS = 4
_BY_ID = ("create", "reset", "step", "terminate", "snapshot", "restore", "branch")
Call = Callable[[Request, dict[str, Any]], Awaitable[Any]]


def make_app(settings: HttpSettings) -> Starlette:
    """The application. `app.state.runs` ends what is played (`end_all`) before a process stops.

    Raises ConfigError for an unknown task, StorageError when the trace file cannot be opened.
    """
    makers = ThreadPoolExecutor(MAKERS, thread_name_prefix="worlds")
    keeper, runs = Keeper(settings.trace_db), Runs()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        keeper.close()
        makers.shutdown(wait=False)

    routes: list[BaseRoute] = []
    tables = {}
    for name in settings.tasks:
        tables[name] = _routes(Served(name, settings, makers), keeper, runs)
        for prefix in (name, *names_of(name)):
            routes.append(Mount(f"/task/{prefix}", routes=tables[name]))
    routes += tables[settings.tasks[0]]
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={HTTPException: _http_answer},
    )
    app.state.runs = runs
    return app


def _routes(served: Served, keeper: Keeper, runs: Runs) -> list[BaseRoute]:
    """Every route of one task (CONTRACT §2)."""
    info, env, proxy = InfoRoutes(served), EnvRoutes(served), ProxyRoutes(served)
    rollouts = RolloutRoutes(served, env, keeper, runs)

    def get(path: str, call: Call) -> Route:
        return Route(path, _guarded(call, served.settings), methods=["GET"])

    def post(path: str, call: Call, *, empty: bool = False) -> Route:
        guarded = _guarded(call, served.settings, body=True, empty=empty)
        return Route(path, guarded, methods=["POST"])

    return [
        Route("/", _guarded(info.root, served.settings, is_open=True), methods=["GET"]),
        get("/health", info.health),
        get("/info", info.info),
        get("/task_info", info.task_info),
        get("/debug/env", info.debug_env),
        post("/done", info.done, empty=True),
        post("/rollout", rollouts.rollout),
        post("/run/abort", rollouts.abort),
        get("/run/status/{run_id}", rollouts.status),
        *(post(f"/{verb}", getattr(env, verb)) for verb in _BY_ID),
        post("/proxy/v1/chat/completions", proxy.openai),
        post("/proxy/groq/v1/chat/completions", proxy.groq),
        *(
            post(f"{start}/{{env}}/{verb}", call)
            for start in ("/env", "")
            for verb, call in (
                ("initialize", env.initialize),
                ("step", env.step),
                ("terminate", env.terminate),
            )
        ),
    ]


def _guarded(
    call: Call,
    settings: HttpSettings,
    *,
    is_open: bool = False,
    body: bool = False,
    empty: bool = False,
) -> Callable[[Request], Awaitable[Response]]:
    """`call` behind the key, with its body read and its errors answered."""

    async def guard(request: Request) -> Response:
        try:
            if not is_open:
                check_key(request.headers, settings.keys)
            limit = settings.limits.body_bytes
            given = await read_object(request, limit, empty=empty) if body else {}
            return Json(await call(request, given))
        except EngineError as err:
            return problem_answer(err)
        except ValidationError as err:
            return fields_answer(err)

    return guard


async def _http_answer(request: Request, err: Exception) -> Response:
    """Starlette's own refusals (404, 405) in the shape of ours."""
    status = err.status_code if isinstance(err, HTTPException) else 500
    code = {404: "not_found", 405: "method_not_allowed"}.get(status, "refused")
    words = {404: f"There is nothing at {request.url.path[:200]}.", 405: "Use another method."}
    answer = problem_answer(Problem(status, code, words.get(status, "Refused.")))
    answer.headers.update(getattr(err, "headers", None) or {})
    return answer
