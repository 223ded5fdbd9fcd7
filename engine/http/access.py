"""Who may call a task app, and how its bodies are read.

A key comes in X-API-Key, X-API-Keys (csv) or as Bearer; never in the address, where logs keep it.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request

from engine.http.problems import Problem

_MOST_KEYS = 20  # in one request


def check_key(headers: Headers, accepted: Iterable[str]) -> None:
    """Raises Problem: 503 when no key is configured, 401 for a wrong one or none, without a hint.

    Every pair is compared in constant time, so that nothing can be learned from how long it takes.
    """
    known = [key.encode() for key in accepted]
    if not known:
        raise Problem(
            503,
            "not_configured",
            "This task app has no key, so that nobody may call it.",
            "Set ENVIRONMENT_API_KEY where it is started.",
        )
    given = [key.encode("utf-8", "surrogateescape") for key in _given(headers)][:_MOST_KEYS]
    right = [hmac.compare_digest(one, key) for one in given for key in known]
    if not any(right):
        raise Problem(
            401,
            "unauthorised",
            "API key missing or invalid",
            "Send this task app's ENVIRONMENT_API_KEY as X-API-Key.",
        )


def _given(headers: Headers) -> list[str]:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    several = headers.get("x-api-keys", "").split(",")
    found = [headers.get("x-api-key", ""), *several, token if scheme.lower() == "bearer" else ""]
    return [key.strip() for key in found if key.strip()]


async def read_object(request: Request, limit_bytes: int, *, empty: bool = False) -> dict[str, Any]:
    """The body as a JSON object. `empty`: no body is an empty object.

    Raises Problem: 413 too large, 400 no JSON (NaN, broken text), 422 no object.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit_bytes:
            words = f"The body is larger than {limit_bytes} bytes."
            raise Problem(413, "too_large", words)
        parts.append(part)
    body = b"".join(parts)
    if empty and not body.strip():
        return {}
    try:
        value = json.loads(body, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate cannot be stored
    except (ValueError, RecursionError) as err:
        why = "nested too deep" if isinstance(err, RecursionError) else str(err)[:200]
        raise Problem(400, "bad_json", f"The body is no JSON: {why}") from err
    if not isinstance(value, dict):
        words = f"The body is a JSON {type(value).__name__}, not an object."
        raise Problem(422, "no_object", words)
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
