"""`Idempotency-Key`: the same POST twice makes one thing and gets the first answer again.

The key belongs to the caller and to one request body. The row is inserted before the work starts,
so of two requests at the same moment one works and the other is told to wait. What an answer shows
once (`shown_once.py`) is not kept: the repeated answer says so in its place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse

from apps.accounts.errors import Refused
from apps.accounts.queries import actor_of_request
from apps.api.errors import error_body
from apps.api.models import IdempotentAnswer
from apps.api.shown_once import secrets_of, without_secrets

View = Callable[..., HttpResponse]


def idempotent(view: View) -> View:
    """Wrap an endpoint so that a POST with `Idempotency-Key` runs at most once."""

    @wraps(view)
    def run_once(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        key = request.headers.get("Idempotency-Key", "")
        actor = actor_of_request(request) if key and request.method == "POST" else None
        if actor is None:
            return view(request, *args, **kwargs)
        try:
            row, earlier = _claim(actor.user.pk, key, request)
        except Refused as err:
            body = error_body(err.code, err.message, err.hint)
            return JsonResponse(body, status=err.status)
        if earlier is not None:
            return earlier
        try:
            response = view(request, *args, **kwargs)
        except BaseException:
            row.delete()
            raise
        _keep(row, response, secrets_of(request))
        return response

    return run_once


def _claim(
    user_id: int, key: str, request: HttpRequest
) -> tuple[IdempotentAnswer, HttpResponse | None]:
    """The row of this key: new with no answer, or an earlier one with its answer.

    Raises Refused for a key that was used for something else, or is still being worked on.
    """
    if len(key) > 200:
        raise Refused("bad_key", "Idempotency-Key has at most 200 characters.", status=422)
    digest = hashlib.sha256(f"{request.get_full_path()}\n".encode() + request.body).hexdigest()
    try:
        with transaction.atomic():
            row = IdempotentAnswer.objects.create(
                user_id=user_id, key=key, path=request.path[:300], request_sha256=digest
            )
        return row, None
    except IntegrityError:
        row = IdempotentAnswer.objects.get(user_id=user_id, key=key)
    if row.request_sha256 != digest:
        raise Refused(
            "key_reused",
            "This Idempotency-Key was used for a different request.",
            "Use a new key for a new request.",
            status=422,
        )
    if not row.status:
        raise Refused(
            "in_progress",
            "The first request with this Idempotency-Key has not finished.",
            "Wait and repeat, or look whether it did its work and use a new key.",
            status=409,
        )
    response = JsonResponse(row.body, status=row.status, safe=False)
    response["Idempotent-Replay"] = "true"
    return row, response


def _keep(row: IdempotentAnswer, response: HttpResponse, secrets: frozenset[str]) -> None:
    """Store an answer without its secrets; a server error is none: the caller may try again."""
    kind = response.headers.get("Content-Type", "")
    if response.status_code >= 500 or response.streaming or not kind.startswith("application/json"):
        row.delete()
        return
    row.status = response.status_code
    row.body = without_secrets(json.loads(response.content), secrets)
    row.save(update_fields=["status", "body"])
