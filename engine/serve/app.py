"""HTTP of the model server: completions, the list of models, loading. Every call but /healthz
needs the bearer token of this process.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from engine.errors import EngineError
from engine.serve.completions import BadRequest, finish, open_ticket, stream
from engine.serve.disconnect import CallerGone, unless_gone
from engine.serve.models import Models, UnknownModel
from engine.serve.replies import ChatBody, answer, error_body
from engine.serve.worker import QueueFull

MAX_BODY_BYTES = 10 << 20
RETRY_AFTER_S = 1
Handler = Callable[[Request], Awaitable[Response]]


class LoadBody(BaseModel):
    model_id: str = Field(min_length=1, max_length=300)
    path: Path


class UnloadBody(BaseModel):
    model_id: str


class Service:
    """The calls of the server, over the models of this process."""

    def __init__(self, models: Models) -> None:
        self.models = models

    async def healthz(self, _: Request) -> Response:
        return JSONResponse({"ok": True, "models": len(self.models.ids())})

    async def list_models(self, _: Request) -> Response:
        rows = [
            {
                "id": m.model_id,
                "object": "model",
                "created": m.loaded_at,
                "owned_by": "synthweb",
                "base": m.base.folder.name,  # those of one base decode together
                "active": m.worker.n_active,
                "waiting": m.worker.n_waiting,
            }
            for m in self.models.list()
        ]
        return JSONResponse({"object": "list", "data": rows})

    async def load(self, request: Request) -> Response:
        body = LoadBody.model_validate_json(await _read(request))
        model = await self.models.load(body.model_id, body.path)
        return JSONResponse({"model_id": model.model_id, "loaded": self.models.ids()})

    async def unload(self, request: Request) -> Response:
        body = UnloadBody.model_validate_json(await _read(request))
        await self.models.unload(body.model_id)
        return JSONResponse({"model_id": body.model_id, "loaded": self.models.ids()})

    async def complete(self, request: Request) -> Response:
        body = ChatBody.model_validate_json(await _read(request))
        model = self.models.get(body.model)
        ticket = open_ticket(model, body)
        if body.stream:
            return StreamingResponse(stream(model, body, ticket), media_type="text/event-stream")
        done = await unless_gone(request, finish(model, body, ticket))
        return JSONResponse(answer(body, done, lambda token: model.tokenizer.decode([token])))


def make_app(models: Models, token: str) -> Starlette:
    """The ASGI application over `models`, for one bearer token."""
    service, guard = Service(models), partial(_guarded, token=token)
    return Starlette(
        routes=[
            Route("/healthz", service.healthz),
            Route("/v1/models", guard(service.list_models)),
            Route("/v1/chat/completions", guard(service.complete), methods=["POST"]),
            Route("/load", guard(service.load), methods=["POST"]),
            Route("/unload", guard(service.unload), methods=["POST"]),
        ],
    )


def _guarded(handler: Handler, token: str) -> Handler:
    """`handler` behind the token, with its errors as OpenAI's clients read them."""

    async def guard(request: Request) -> Response:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return _error(401, "unauthorized", "a valid bearer token is needed")
        try:
            return await handler(request)
        except EngineError as err:
            return _error(_status(err), err.code, err.message)
        except CallerGone:
            return Response(status_code=499)  # nobody reads it
        except QueueFull:
            reply = _error(429, "queue_full", "too many requests wait; come back later")
            reply.headers["Retry-After"] = str(RETRY_AFTER_S)
            return reply
        except ValidationError as err:
            first = err.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "body"
            return _error(422, "invalid_request", f"{where}: {first['msg']}")

    return guard


async def _read(request: Request) -> bytes:
    """The body, at most MAX_BODY_BYTES of it. Raises BadRequest."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise BadRequest(f"the body is larger than {MAX_BODY_BYTES} bytes", code="too_large")
        parts.append(part)
    return b"".join(parts)


def _status(err: EngineError) -> int:
    if isinstance(err, UnknownModel):
        return 404
    return 413 if err.code == "too_large" else 400


def _error(status: int, code: str, message: str) -> JSONResponse:
    kind: dict[int, Any] = {401: "authentication_error", 429: "rate_limit_error"}
    body = error_body(code, message, kind.get(status, "invalid_request_error"))
    return JSONResponse(body, status_code=status)
