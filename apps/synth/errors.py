"""Errors of the Synth-compatible API: those of `/api/v1`, with the sentence once more under
`detail`, where Synth's clients look for it.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI

from apps.api.errors import HANDLED, problem_of


def install(api: NinjaAPI) -> None:
    """Let every answer to an error have the one shape."""

    def answer(request: HttpRequest, exc: Any) -> HttpResponse:
        problem = problem_of(exc)
        error = problem.body["error"]
        words = f"{error['message']} {error['hint']}".strip()
        body = {"detail": words, **problem.body}
        response = api.create_response(request, body, status=problem.status)
        for name, value in problem.headers.items():
            response[name] = value
        return response

    for kind in HANDLED:
        api.add_exception_handler(kind, answer)
