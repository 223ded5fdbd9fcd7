"""One short call of an address that people name: a GET with a key that belongs to it, or a POST.

For the test button, the check of task apps and webhooks; calls of models are the engine's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, NamedTuple

from apps.accounts.errors import Refused
from engine.llm.redact import without_key

TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024


class Answer(NamedTuple):
    """status 0: nothing came, `error` says why. `body` never holds the key that was sent."""

    status: int
    body: bytes
    error: str
    took_ms: float


def ask(url: str, key: str, *, timeout_s: float = TIMEOUT_S) -> Answer:
    """GET `url` under the rules of `urls.py`; the key goes along in every header in use.

    Never raises for what is there or not there. Blocks up to `timeout_s`.
    """
    answer = _answered(_call("GET", url, b"", key_headers(key), timeout_s, None), timeout_s)
    return answer._replace(body=without_key(answer.body, key))


def post(
    url: str,
    content: bytes,
    headers: dict[str, str],
    *,
    keep: int,
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """POST `content` under the same rules; only the first `keep` bytes of the answer are read.

    Never raises for what is there or not there. Blocks up to `timeout_s`.
    """
    return _answered(_call("POST", url, content, headers, timeout_s, keep), timeout_s)


def _answered(call: Coroutine[Any, Any, tuple[int, bytes]], timeout_s: float) -> Answer:
    import httpx  # 6 MB: only where somebody asks

    began = time.monotonic()
    try:
        status, body = asyncio.run(call)
        error = ""
    except Refused as err:
        status, body, error = 0, b"", f"{err.message} {err.hint}".strip()
    except TimeoutError:
        status, body, error = 0, b"", f"No answer within {timeout_s:g} s."
    except httpx.HTTPError as err:
        status, body, error = 0, b"", f"No answer: {err or type(err).__name__}"
    return Answer(status, body, error, round((time.monotonic() - began) * 1000, 1))


async def _call(
    method: str,
    url: str,
    content: bytes,
    headers: dict[str, str],
    timeout_s: float,
    keep: int | None,
) -> tuple[int, bytes]:
    import httpx

    from apps.providers.guard import guarded_client

    async with (
        asyncio.timeout(timeout_s),
        guarded_client(timeout_s=timeout_s) as client,
        client.stream(method, url, headers=headers, content=content or None) as answer,
    ):
        body = b""
        async for piece in answer.aiter_bytes():
            body += piece
            if keep is not None and len(body) >= keep:
                return answer.status_code, body[:keep]
            if len(body) > MAX_ANSWER_BYTES:
                raise httpx.DecodingError("the answer is too large")
        return answer.status_code, body


def key_headers(key: str) -> dict[str, str]:
    """The headers in which model APIs and task apps look for a key."""
    return {"Authorization": f"Bearer {key}", "X-API-Key": key} if key else {}
