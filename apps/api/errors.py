"""Every error of the API has one shape: {"error": {"code", "message", "hint", "fields"}}."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.core.exceptions import RequestDataTooBig
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from apps.accounts.errors import Refused
from engine.errors import ConfigError, EngineError

logger = logging.getLogger(__name__)
KEY_HINT = "Send `Authorization: Bearer KEY` or `X-API-Key: KEY`; keys are made in Settings."
HANDLED: tuple[type[Exception], ...] = (
    EngineError,
    ValidationError,
    HttpError,
    Http404,
    RequestDataTooBig,
    OperationalError,
)


def error_body(
    code: str, message: str, hint: str = "", fields: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The body of an error answer."""
    return {"error": {"code": code, "message": message, "hint": hint, "fields": dict(fields or {})}}


class Problem(NamedTuple):
    """What an error becomes: status, body and headers of the answer."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str] = {}


def problem_of(exc: Exception) -> Problem:
    """The answer to anything that an endpoint may raise."""
    match exc:
        case Refused():
            body = error_body(exc.code, exc.message, exc.hint, exc.fields)
            return Problem(exc.status, body)
        case EngineError():
            status = 422 if isinstance(exc, ConfigError) else 409
            return Problem(status, error_body(exc.code, exc.message, exc.hint, fields_of(exc)))
        case ValidationError():
            fields = {".".join(map(str, e["loc"])): str(e["msg"]) for e in exc.errors}
            message = f"The request is not valid: {', '.join(fields)}."
            return Problem(422, error_body("invalid", message, "See fields.", fields))
        case AuthenticationError():
            return Problem(401, error_body("unauthenticated", "No valid key.", KEY_HINT))
        case HttpError():
            return Problem(exc.status_code, error_body("bad_request", str(exc)))
        case RequestDataTooBig():
            return Problem(413, error_body("too_large", "The request body is too large."))
        case OperationalError():
            logger.warning("database away: %s", exc)
            body = error_body("busy", "The database does not answer.", "Try again in a moment.")
            return Problem(503, body, {"Retry-After": "2"})
        case _:
            return Problem(404, error_body("not_found", str(exc) or "There is nothing here."))


def install(api: NinjaAPI) -> None:
    """Let every answer to an error have the one shape."""

    def answer(request: HttpRequest, exc: Any) -> HttpResponse:
        problem = problem_of(exc)
        response = api.create_response(request, problem.body, status=problem.status)
        for name, value in problem.headers.items():
            response[name] = value
        return response

    for kind in HANDLED:
        api.add_exception_handler(kind, answer)


def fields_of(exc: EngineError) -> dict[str, str]:
    """The mistakes of a config error as {"key (line 14)": message}; {} for other errors."""
    mistakes = getattr(exc, "mistakes", ())
    return {
        f"{m.key} (line {m.line})" if m.line else str(m.key): f"{m.message} {m.hint}".strip()
        for m in mistakes
    }
