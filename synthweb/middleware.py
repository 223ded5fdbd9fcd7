"""Middleware of our own: security headers on every page, and a 503 while the database is away."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.template import TemplateDoesNotExist
from django.template.loader import render_to_string

GetResponse = Callable[[HttpRequest], HttpResponseBase]

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
)
# Pages of others that we host ourselves and that bring inline styles or scripts.
CSP_LOOSE = CSP.replace("script-src 'self'", "script-src 'self' 'unsafe-inline'").replace(
    "style-src 'self'", "style-src 'self' 'unsafe-inline'"
)
LOOSE_PATHS = ("/api/v1/docs", "/admin/")
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


def csp_for(path: str) -> str:
    """The Content-Security-Policy of an address."""
    return CSP_LOOSE if path.startswith(LOOSE_PATHS) else CSP


class SecurityHeaders:
    """Adds what Django's own security middleware does not: CSP and Permissions-Policy."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", csp_for(request.path))
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        if "Cache-Control" not in response.headers and getattr(request, "user", None) is not None:
            response.headers["Cache-Control"] = "private, no-cache"
        return response


class DatabaseAway:
    """Answers 503 with words while the database is locked or away, and recovers by itself."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Turn an OperationalError of a view into a 503 that says when to come back."""
        if not isinstance(exception, OperationalError) or settings.DEBUG:
            return None
        message = "The database does not answer. Runs go on; try again in a few seconds."
        if request.path.startswith("/api/"):
            error = {"code": "database_away", "message": message, "hint": "", "fields": {}}
            response: HttpResponse = JsonResponse({"error": error}, status=503)
        else:
            try:
                html: str = render_to_string("503.html", {"message": message})
            except TemplateDoesNotExist:
                html = f"<!doctype html><title>503</title><p>{message}</p>"
            response = HttpResponse(html, status=503)
        response["Retry-After"] = "5"
        return response
