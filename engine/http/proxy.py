"""Proxies to fixed model APIs: `/proxy/v1/chat/completions` (OpenAI) and `/proxy/groq/v1/…`.

The upstream and its key are the operator's; nothing in a request can change where it goes. The
task's rules join the system message, and an answer written as text becomes a tool call, so that
any OpenAI client plays. Answers come whole: `stream` is turned off.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
from starlette.requests import Request

from engine.errors import ReplyError
from engine.http.problems import Problem
from engine.http.served import Served
from engine.http.settings import Upstream
from engine.llm.addresses import parse_url, resolve_host
from engine.llm.redact import without_key
from engine.llm.toolcalls import find_text_calls

TIMEOUT_S = 120.0
MAX_ANSWER_BYTES = 8 << 20
# What only Synth's clients send; OpenAI refuses unknown fields.
_OURS = ("stop_after_tool_calls", "thinking_mode", "thinking_budget", "extra_body", "function_call")


class ProxyRoutes:
    """The calls, for one task."""

    def __init__(self, served: Served) -> None:
        self.served = served

    async def openai(self, request: Request, given: dict[str, Any]) -> dict[str, Any]:
        """OpenAI's API, or what OPENAI_BASE_URL names."""
        return await self._pass_on("openai", given)

    async def groq(self, request: Request, given: dict[str, Any]) -> dict[str, Any]:
        """Groq's API, or what GROQ_BASE_URL names."""
        return await self._pass_on("groq", given)

    async def _pass_on(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        upstream = self.served.settings.upstream(name)
        if upstream is None:
            words = f"This task app has no key for {name}."
            hint = f"Set {name.upper()}_API_KEY where it is started."
            raise Problem(503, "no_upstream", words, hint)
        body = self._prepare(given)
        status, answer = await self._ask(upstream, body)
        if status >= 400:
            words = f"{name} answered {status}: {json.dumps(answer)[:300]}"
            raise Problem(status if status in (400, 404, 422, 429) else 502, "upstream", words)
        return self._with_call(answer)

    def _prepare(self, given: Mapping[str, Any]) -> dict[str, Any]:
        messages = given.get("messages")
        is_list = isinstance(messages, list) and messages
        if not is_list or not all(isinstance(message, dict) for message in messages or ()):
            raise Problem(422, "invalid_request", "messages is no list of messages.")
        if not isinstance(given.get("model"), str) or not given["model"]:
            raise Problem(422, "invalid_request", "model is missing.")
        body = {key: value for key, value in given.items() if key not in _OURS}
        body["messages"] = self._with_hint(list(messages or ()))
        body["stream"] = False
        body.pop("stream_options", None)
        if not body.get("tools"):
            body["tools"] = self.served.task.tools
            body["tool_choice"] = self.served.task.tool_choice
        return body

    def _with_hint(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        hint = self.served.face.hint
        first = messages[0]
        if first.get("role") == "system" and isinstance(first.get("content"), str):
            return [{**first, "content": f"{first['content']}\n\n{hint}"}, *messages[1:]]
        return [{"role": "system", "content": hint}, *messages]

    async def _ask(self, upstream: Upstream, body: Mapping[str, Any]) -> tuple[int, Any]:
        """(status, JSON). Redirects are not followed; the checked address is the one called."""
        url = httpx.URL(upstream.base_url + "/chat/completions")
        parts, settings = parse_url(upstream.base_url), self.served.settings
        loop = asyncio.get_running_loop()
        address = await loop.run_in_executor(
            self.served.makers,
            lambda: resolve_host(
                parts.host, parts.port, listed=settings.listed(), setting="SYNTHWEB_ALLOW_HOSTS"
            ),
        )
        headers = {"Host": url.netloc.decode("ascii")}
        if upstream.key:
            headers["Authorization"] = f"Bearer {upstream.key}"
        client = httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)
        try:
            async with (
                client,
                asyncio.timeout(TIMEOUT_S),
                client.stream(
                    "POST",
                    url.copy_with(host=address),
                    json=dict(body),
                    headers=headers,
                    extensions={"sni_hostname": parts.host},
                ) as answer,
            ):
                return answer.status_code, json.loads(await _read(answer, upstream.key))
        except (httpx.HTTPError, TimeoutError, ValueError, RecursionError) as err:
            why = type(err).__name__
            words = f"{upstream.name} gave no usable answer ({why})."
            raise Problem(502, "no_answer", words, "Try again.") from err

    def _with_call(self, answer: Any) -> dict[str, Any]:
        """The answer, with a call that was written as text as a tool call."""
        if not isinstance(answer, dict):
            raise Problem(502, "bad_answer", "The upstream's answer is no JSON object.")
        choices = answer.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            message = choice.get("message") if isinstance(choice, dict) else None
            if not isinstance(message, dict) or message.get("tool_calls"):
                continue
            content = message.get("content")
            try:
                calls = find_text_calls(content, self.served.task.tools) if content else ()
            except (ReplyError, TypeError):
                calls = ()
            if calls:
                message["tool_calls"] = [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.name, "arguments": call.arguments},
                    }
                    for call in calls
                ]
        return answer


async def _read(answer: httpx.Response, key: str) -> bytes:
    parts, size = [], 0
    async for part in answer.aiter_bytes():
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise ValueError("too large")
        parts.append(part)
    return without_key(b"".join(parts), key)
