"""OpenAI's JSON: reading a chat completion request, writing answers, chunks and errors.

Tool calls are found in the text, never enforced: scores stay honest. What is no readable call stays
in the content, where the player's parser says what is wrong with it.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from engine.serve.worker import Ticket

_CALL = re.compile(r"\s*<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
CALL_START = "<tool_call>"
Decode = Callable[[int], str]  # one token's text


class ChatBody(BaseModel):
    """The fields of a request that mean something here; others are accepted and ignored."""

    model_config = ConfigDict(extra="ignore")

    model: str
    messages: list[dict[str, Any]] = Field(min_length=1, max_length=2000)
    tools: list[dict[str, Any]] = []
    tool_choice: str | dict[str, Any] | None = None
    temperature: float = Field(1.0, ge=0, le=10)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1, le=100_000)
    max_completion_tokens: int | None = Field(None, ge=1, le=100_000)
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool = False
    logprobs: bool = False
    return_token_ids: bool = False
    ignore_eos: bool = False  # go on to the limit, as vLLM takes it: for measuring

    @property
    def offered_tools(self) -> list[dict[str, Any]]:
        return [] if self.tool_choice == "none" else self.tools

    @property
    def stops(self) -> list[str]:
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [text for text in given if text]

    @property
    def limit(self) -> int:
        return self.max_completion_tokens or self.max_tokens or 256


@dataclass(frozen=True, slots=True)
class Finished:
    """A whole answer, before it is written as JSON."""

    text: str
    reason: str  # stop | length
    ticket: Ticket


def find_calls(text: str) -> tuple[str, list[dict[str, Any]]]:
    """(what is left as content, tool calls). A call that is no JSON with a name stays content."""
    calls: list[dict[str, Any]] = []

    def take(match: re.Match[str]) -> str:
        try:
            record = json.loads(match.group(1))
            name, arguments = record["name"], record.get("arguments", {})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return match.group(0)
        if not isinstance(name, str):
            return match.group(0)
        raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
        call_id = f"call_{uuid.uuid4().hex[:16]}"
        function = {"name": name, "arguments": raw}
        calls.append({"id": call_id, "type": "function", "function": function})
        return ""

    return _CALL.sub(take, text), calls


def answer(body: ChatBody, done: Finished, decode: Decode) -> dict[str, Any]:
    """The JSON of a chat completion; `decode` turns one token id into its text."""
    content, calls = find_calls(done.text) if body.offered_tools else (done.text, [])
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = calls
    reason = "tool_calls" if calls and done.reason == "stop" else done.reason
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": reason}
    choice |= _asked(body, done.ticket, decode)
    return {
        **_head("chat.completion", body.model),
        "choices": [choice],
        "usage": usage(done.ticket),
        "queue_ms": round(done.ticket.queue_ms, 3),
    }


def _asked(body: ChatBody, ticket: Ticket, decode: Decode) -> dict[str, Any]:
    """Token ids and logprobs, where the request asks for them."""
    row, fields = ticket.row, dict[str, Any]()
    if body.return_token_ids:
        fields["prompt_token_ids"] = row.prompt
        fields["completion_token_ids"] = row.completion
        fields["token_logprobs"] = row.logprobs
    if body.logprobs:
        pairs = zip(row.completion, row.logprobs, strict=True)
        fields["logprobs"] = {"content": [{"token": decode(t), "logprob": p} for t, p in pairs]}
    return fields


def chunk(
    body: ChatBody,
    chat_id: str,
    delta: dict[str, Any],
    reason: str | None,
    more: dict[str, Any] | None = None,
) -> str:
    """One server-sent event of a streamed answer; `more` goes into its choice."""
    choice = {"index": 0, "delta": delta, "finish_reason": reason, **(more or {})}
    record = {**_head("chat.completion.chunk", body.model), "id": chat_id, "choices": [choice]}
    return f"data: {json.dumps(record, ensure_ascii=False)}\n\n"


def last_chunks(
    body: ChatBody, chat_id: str, done: Finished, sent: int, decode: Decode
) -> list[str]:
    """What closes a stream: the rest of the text or its tool calls, the reason, the usage.

    Token ids and logprobs of the whole answer come with the reason.
    """
    content, calls = find_calls(done.text) if body.offered_tools else (done.text, [])
    chunks = []
    if len(content) > sent:
        chunks.append(chunk(body, chat_id, {"content": content[sent:]}, None))
    if calls:
        deltas = [{"index": index, **call} for index, call in enumerate(calls)]
        chunks.append(chunk(body, chat_id, {"tool_calls": deltas}, None))
    reason = "tool_calls" if calls and done.reason == "stop" else done.reason
    chunks.append(chunk(body, chat_id, {}, reason, _asked(body, done.ticket, decode)))
    head = {**_head("chat.completion.chunk", body.model), "id": chat_id}
    record = {**head, "choices": [], "usage": usage(done.ticket)}
    return [*chunks, f"data: {json.dumps(record)}\n\n", "data: [DONE]\n\n"]


def usage(ticket: Ticket) -> dict[str, int]:
    prompt, completion = len(ticket.row.prompt), len(ticket.row.completion)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def error_body(code: str, message: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "code": code, "param": None}}


def _head(kind: str, model: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex[:24]}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
    }
