"""Every error of the API has one shape: {"error": {"code", "message", "hint", "fields"}}."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from apps.accounts.errors import Refused
from engine.errors import ConfigError, EngineError

logger = logging.getLogger(__name__)


def error_body(
    code: str, message: str, hint: str = "", fields: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The body of an error answer."""
    return {"error": {"code": code, "message": message, "hint": hint, "fields": dict(fields or {})}}


def install(api: NinjaAPI) -> None:
    """Register the handlers of everything that an endpoint may raise."""

    def answer(request: HttpRequest, status: int, body: dict[str, Any]) -> HttpResponse:
        return api.create_response(request, body, status=status)

    @api.exception_handler(Refused)
    def refused(request: HttpRequest, exc: Refused) -> HttpResponse:
        return answer(request, exc.status, error_body(exc.code, exc.message, exc.hint, exc.fields))

    @api.exception_handler(EngineError)
    def engine_error(request: HttpRequest, exc: EngineError) -> HttpResponse:
        status = 422 if isinstance(exc, ConfigError) else 409
        return answer(request, status, error_body(exc.code, exc.message, exc.hint, fields_of(exc)))

    @api.exception_handler(ValidationError)
    def invalid(request: HttpRequest, exc: ValidationError) -> HttpResponse:
        fields = {".".join(str(part) for part in e["loc"]): str(e["msg"]) for e in exc.errors}
        names = ", ".join(fields)
        body = error_body("invalid", f"The request is not valid: {names}.", "See fields.", fields)
        return answer(request, 422, body)

    @api.exception_handler(AuthenticationError)
    def unauthenticated(request: HttpRequest, exc: AuthenticationError) -> HttpResponse:
        hint = "Send `Authorization: Bearer KEY` or `X-API-Key: KEY`; keys are made in Settings."
        return answer(request, 401, error_body("unauthenticated", "No valid key.", hint))

    @api.exception_handler(Http404)
    def missing(request: HttpRequest, exc: Http404) -> HttpResponse:
        return answer(request, 404, error_body("not_found", str(exc) or "There is nothing here."))

    @api.exception_handler(HttpError)
    def http_error(request: HttpRequest, exc: HttpError) -> HttpResponse:
        return answer(request, exc.status_code, error_body("bad_request", str(exc)))

    @api.exception_handler(RequestDataTooBig)
    def too_big(request: HttpRequest, exc: RequestDataTooBig) -> HttpResponse:
        return answer(request, 413, error_body("too_large", "The request body is too large."))

    @api.exception_handler(OperationalError)
    def database_away(request: HttpRequest, exc: OperationalError) -> HttpResponse:
        logger.warning("database away: %s", exc)
        body = error_body("busy", "The database does not answer.", "Try again in a moment.")
        response = answer(request, 503, body)
        response["Retry-After"] = "2"
        return response


def fields_of(exc: EngineError) -> dict[str, str]:
    """The mistakes of a config error as {"key (line 14)": message}; {} for other errors."""
    mistakes = getattr(exc, "mistakes", ())
    return {
        f"{m.key} (line {m.line})" if m.line else str(m.key): f"{m.message} {m.hint}".strip()
        for m in mistakes
    }
