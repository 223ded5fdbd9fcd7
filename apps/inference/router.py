"""`/api/inference/v1`: the OpenAI-compatible base URL for any client, outside Django.

A model id leads to the server of a checkpoint or to a provider (`targets.py`); the call is passed
on, streamed or whole, and its usage counted (`services.py`). Keys are checked in `callers.py`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from apps.accounts.errors import Refused
from apps.accounts.models import Project
from apps.checkpoints import queries as checkpoints
from apps.inference.callers import find_caller
from apps.inference.forward import pass_on
from apps.providers import queries as providers
from apps.providers.models import ProviderKind
from engine.errors import EngineError
from engine.serve.disconnect import CallerGone, unless_gone
from synthweb.callers import in_thread

MAX_BODY_BYTES = 10 << 20
Endpoint = Callable[[Request], Awaitable[Response]]


async def complete(request: Request) -> Response:
    """POST /chat/completions: OpenAI's body; the answer says `model` as it was asked for."""
    caller = await find_caller(request.scope)
    body = await _read(request)
    model = body.get("model")
    if not isinstance(model, str) or not model or len(model) > 300:
        raise Refused("invalid_request", "`model` is missing: the id of a model.", status=422)
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise Refused("invalid_request", "`messages` is missing: a list of messages.", status=422)
    body.pop("thinking_budget", None)  # Synth's word: model APIs refuse it, our models do not think
    return await unless_gone(request, pass_on(caller, model, body))


async def list_models(request: Request) -> Response:
    """GET /models: the checkpoints of the project, then its providers as `NAME/…`."""
    caller = await find_caller(request.scope)
    rows = await in_thread(partial(_models, caller.project_id))
    return JSONResponse({"object": "list", "data": rows})


def _models(project_id: int) -> list[dict[str, Any]]:
    project = Project(pk=project_id)
    ids = checkpoints.list_model_ids(project_id)
    ours = [{"id": name, "object": "model", "created": 0, "owned_by": "synthweb"} for name in ids]
    rows = providers.list_providers(project=project)
    theirs = [
        {"id": f"{row.name}/…", "object": "model", "created": 0, "owned_by": row.name}
        for row in rows
        if row.enabled and row.kind == ProviderKind.OPENAI
    ]
    return ours + theirs


async def _read(request: Request) -> dict[str, Any]:
    """The JSON body. Raises Refused(413 | 422)."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise Refused(
                "too_large", f"The body is larger than {MAX_BODY_BYTES >> 20} MB.", status=413
            )
        parts.append(part)
    try:
        body = json.loads(b"".join(parts))
    except (ValueError, RecursionError) as err:
        raise Refused("invalid_request", f"The body is no JSON: {err}", status=422) from err
    if not isinstance(body, dict):
        raise Refused("invalid_request", "The body is no JSON object.", status=422)
    return body


def _guarded(endpoint: Endpoint) -> Endpoint:
    """Answer refusals the way OpenAI's clients read them."""

    async def guard(request: Request) -> Response:
        try:
            return await endpoint(request)
        except CallerGone:
            return Response(status_code=499)  # nobody reads it
        except EngineError as err:
            status = err.status if isinstance(err, Refused) else 502
            return error_response(status, err.code, err.message, err.hint)

    return guard


def error_response(status: int, code: str, message: str, hint: str = "") -> JSONResponse:
    """An error in OpenAI's shape, with our hint; 429 and 503 say when to come back."""
    error = {"message": message, "type": code, "code": code, "param": None, "hint": hint}
    headers = {"Retry-After": "2"} if status in (429, 503) else None
    return JSONResponse({"error": error}, status_code=status, headers=headers)


application = Starlette(
    routes=[
        Route("/api/inference/v1/chat/completions", _guarded(complete), methods=["POST"]),
        Route("/api/inference/v1/models", _guarded(list_models), methods=["GET"]),
    ],
)
