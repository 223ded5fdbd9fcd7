"""Passing a call on to where its model is, whole or as a stream, and counting what it used.

Our own servers are called directly; providers only through the guard of `apps.providers.urls`. A
server that vanished between two looks is looked up once more; everything else is the caller's to
repeat: engines have a retry budget.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import lru_cache, partial
from typing import Any

import httpx
from starlette.responses import JSONResponse, Response, StreamingResponse

from apps.accounts.errors import Refused
from apps.checkpoints.services import report_unreachable
from apps.inference.callers import Caller
from apps.inference.services import count_call
from apps.inference.targets import Target, find_target, forget
from apps.providers.guard import guarded_client
from engine.llm.redact import without_key
from synthweb.callers import in_thread

TIMEOUT_S = 120.0
MAX_ANSWER_BYTES = 16 << 20
STALE = (401, 404)  # of our own servers: a new process has the address, or the model was unloaded
_in_flight: dict[str, int] = {}


async def pass_on(caller: Caller, model: str, body: dict[str, Any]) -> Response:
    """Send the call to its target and answer what comes back.

    Raises Refused: 404 unknown model, 429 too many calls at once, 502 no usable answer, 503.
    """
    target, answer = await _reach(caller, model, body)
    call = _Call(caller, model, target)
    if body.get("stream") and answer.status_code == 200:
        return StreamingResponse(call.stream(answer), media_type="text/event-stream")
    return await call.whole(answer)


async def _reach(caller: Caller, model: str, body: dict[str, Any]) -> tuple[Target, httpx.Response]:
    """The first answer of two tries: the address may be that of a server that has stopped."""
    for is_last in (False, True):
        target = await find_target(caller.project_id, model)
        try:
            answer = await _send(target, body)
            if target.provider or answer.status_code not in STALE:
                return target, answer
            forget(caller.project_id, model)
            _in_flight[target.base_url] -= 1
            await answer.aclose()
        except httpx.TransportError as err:
            forget(caller.project_id, model)
            if isinstance(err, httpx.ConnectError) and not target.provider:
                await in_thread(partial(report_unreachable, target.base_url.removesuffix("/v1")))
            if is_last:
                count_call(
                    project_id=caller.project_id, model=model, provider=target.provider, failed=True
                )
                raise Refused(
                    "no_answer",
                    f"{target.provider or 'The model server'} does not answer: {err!r}",
                    "Try again in a moment.",
                    status=502,
                ) from err
    raise Refused(
        "model_starting", f"The server of {model} is loading it.", "Try again.", status=503
    )


def _enter(target: Target) -> None:
    """Take one of the target's places. Raises Refused(429) when all are taken."""
    if _in_flight.get(target.base_url, 0) >= target.max_concurrent:
        raise Refused(
            "too_many_calls",
            f"{target.max_concurrent} calls of this model are under way.",
            "Try again in a moment.",
            status=429,
        )
    _in_flight[target.base_url] = _in_flight.get(target.base_url, 0) + 1


async def _send(target: Target, body: dict[str, Any]) -> httpx.Response:
    """The answer with its body still to be read; it holds one of the target's places."""
    _enter(target)
    client = _client(asyncio.get_running_loop(), bool(target.provider))
    headers = {"Authorization": f"Bearer {target.key}"} if target.key else {}
    request = client.build_request(
        "POST",
        f"{target.base_url}/chat/completions",
        json={**body, "model": target.model},
        headers=headers,
    )
    try:
        return await client.send(request, stream=True)
    except BaseException:
        _in_flight[target.base_url] -= 1
        raise


@lru_cache(maxsize=8)
def _client(loop: asyncio.AbstractEventLoop, outside: bool) -> httpx.AsyncClient:
    """One pool of connections for our servers, one, guarded, for providers."""
    if outside:
        return guarded_client(timeout_s=TIMEOUT_S)
    limits = httpx.Limits(max_connections=512, max_keepalive_connections=256)
    return httpx.AsyncClient(timeout=TIMEOUT_S, limits=limits, trust_env=False)


class _Call:
    """One call on its way back: renames the model, counts tokens, frees the place."""

    def __init__(self, caller: Caller, model: str, target: Target) -> None:
        self.caller, self.model, self.target = caller, model, target
        self.usage: dict[str, Any] = {}
        self.failed = True

    async def whole(self, answer: httpx.Response) -> Response:
        """Read the answer and hand it on under the model's own name."""
        try:
            parts, size = [], 0
            async for part in answer.aiter_bytes():
                size += len(part)
                if size > MAX_ANSWER_BYTES:
                    raise Refused("bad_answer", "The answer is too large.", status=502)
                parts.append(part)
            record = json.loads(without_key(b"".join(parts), self.target.key))
            self._note(record)
        except (ValueError, httpx.HTTPError) as err:
            raise Refused(
                "bad_answer", f"The model's answer is unreadable: {err}", status=502
            ) from err
        finally:
            await self._leave(answer)
        kept = {name: answer.headers[name] for name in ("retry-after",) if name in answer.headers}
        return JSONResponse(record, status_code=answer.status_code, headers=kept)

    async def stream(self, answer: httpx.Response) -> AsyncIterator[bytes]:
        """Hand on server-sent events as they come."""
        try:
            async for said in answer.aiter_lines():
                line = without_key(said.encode(), self.target.key).decode()
                if line.startswith("data: {"):
                    record = json.loads(line[6:])
                    self._note(record)
                    line = f"data: {json.dumps(record, ensure_ascii=False)}"
                yield f"{line}\n".encode()
        finally:
            await self._leave(answer)

    def _note(self, record: Any) -> None:
        """Take usage from a record and put the asked-for model id into it."""
        if not isinstance(record, dict):
            raise ValueError("not a JSON object")
        self.usage = record.get("usage") or self.usage
        self.failed = "error" in record
        if "model" in record:
            record["model"] = self.model

    async def _leave(self, answer: httpx.Response) -> None:
        _in_flight[self.target.base_url] -= 1
        prompt = int(self.usage.get("prompt_tokens") or 0)
        completion = int(self.usage.get("completion_tokens") or 0)
        price = self.target.price
        count_call(
            project_id=self.caller.project_id,
            model=self.model,
            provider=self.target.provider,
            prompt_tokens=prompt,
            completion_tokens=completion,
            failed=self.failed,
            cost_usd=price.cost_usd(prompt, completion) if price else 0.0,
        )
        await answer.aclose()
