"""Secrets that an answer shows once: the type of their fields, and answers without them.

A field of this type tells its request which text is secret, so that what is kept of the answer
(`idempotency.py`) leaves it out. Where the secrets are made: `apps.accounts`, `apps.launch`.
"""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Schema
from pydantic import AfterValidator, Field, ValidationInfo

MARK = "x-shown-once"
NOTE = (
    "The secret of this answer was shown once and is kept nowhere. If that answer was lost, take "
    "back what it was for and ask again with another Idempotency-Key."
)


def _tell(secret: str | None, info: ValidationInfo) -> str | None:
    request = (info.context or {}).get("request")
    if secret and request is not None:
        request.shown_once = secrets_of(request) | {secret}
    return secret


ShownOnce = Annotated[
    str | None,
    AfterValidator(_tell),
    Field(
        description="Shown this once; null, with a `note`, where an Idempotency-Key is repeated.",
        json_schema_extra={MARK: True},
    ),
]


class ShowsOnce(Schema):
    """An answer with a secret. `note` says in a repeated answer why the secret is missing."""

    note: str | None = None


def secrets_of(request: HttpRequest) -> frozenset[str]:
    """The secrets that the answer to this request shows."""
    found: frozenset[str] = getattr(request, "shown_once", frozenset())
    return found


def without_secrets(body: Any, secrets: frozenset[str]) -> Any:
    """An answer as it may be kept: null for each text that holds a secret, and a note of it."""
    if not secrets:
        return body
    cleaned = _clean(body, secrets)
    return {**cleaned, "note": NOTE} if isinstance(cleaned, dict) else cleaned


def _clean(value: Any, secrets: frozenset[str]) -> Any:
    match value:
        case dict():
            return {name: _clean(inner, secrets) for name, inner in value.items()}
        case list():
            return [_clean(inner, secrets) for inner in value]
        case str() if any(secret in value for secret in secrets):
            return None
        case _:
            return value
