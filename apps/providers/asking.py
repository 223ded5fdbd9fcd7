"""One short GET of an address that people name, with a key that belongs to it.

For the test button and the check of task apps; calls of models are the engine's.
"""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

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
    import httpx  # 6 MB: only where somebody asks

    began = time.monotonic()
    try:
        status, body = asyncio.run(_get(url, key, timeout_s))
        error = ""
    except Refused as err:
        status, body, error = 0, b"", f"{err.message} {err.hint}".strip()
    except TimeoutError:
        status, body, error = 0, b"", f"No answer within {timeout_s:g} s."
    except httpx.HTTPError as err:
        status, body, error = 0, b"", f"No answer: {err or type(err).__name__}"
    return Answer(status, body, error, round((time.monotonic() - began) * 1000, 1))


async def _get(url: str, key: str, timeout_s: float) -> tuple[int, bytes]:
    import httpx

    from apps.providers.guard import guarded_client

    async with (
        asyncio.timeout(timeout_s),
        guarded_client(timeout_s=timeout_s) as client,
        client.stream("GET", url, headers=key_headers(key)) as answer,
    ):
        body = b""
        async for piece in answer.aiter_bytes():
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                raise httpx.DecodingError("the answer is too large")
        return answer.status_code, without_key(body, key)


def key_headers(key: str) -> dict[str, str]:
    """The headers in which model APIs and task apps look for a key."""
    return {"Authorization": f"Bearer {key}", "X-API-Key": key} if key else {}
