"""The body of a chat completion -> `Reply`. Whatever is odd becomes a ProviderError with a reason.

Lives here: reading one answer, strictly. Not here: sending (`client.py`), understanding the tool
call (`toolcalls.py`).

Our own server adds to each choice `prompt_token_ids`, `completion_token_ids` and `token_logprobs`
(one natural log a sampled token), and to the answer `queue_ms`; others may leave them out. vLLM
names the same ids alike; OpenAI's `logprobs.content[].logprob` is read where the list is missing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from engine.errors import ProviderError
from engine.llm.types import Reply, ToolCall, Usage


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars for a million tokens."""

    prompt_usd: float = 0.0
    completion_usd: float = 0.0

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Dollars for one call."""
        return (prompt_tokens * self.prompt_usd + completion_tokens * self.completion_usd) / 1e6


def read_answer(body: bytes, prices: Prices) -> Reply:
    """One answer of `/chat/completions`, without times.

    Raises ProviderError: code bad_answer (no JSON, wrong shape) or refusal; both retryable, since
    a sampled answer may be right the next time.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as err:
        raise _bad(f"it is no JSON ({len(body)} bytes, {_excerpt(body)})") from err
    choice = _first_choice(answer)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise _bad("its choice has no message")
    finish = _text(choice.get("finish_reason"))
    content = _content(message.get("content"))
    if message.get("refusal") or finish == "content_filter":
        raise ProviderError(
            f"The model refused to answer: {_text(message.get('refusal'))[:200] or finish}.",
            code="refusal",
        )
    usage = _usage(answer.get("usage"), prices)
    return Reply(
        content=content,
        tool_calls=_tool_calls(message.get("tool_calls")),
        finish_reason=finish,
        model=_text(answer.get("model")),
        usage=usage,
        queue_ms=_number(answer.get("queue_ms", 0)),
        prompt_ids=_ints(choice, answer, "prompt_token_ids"),
        completion_ids=_ints(choice, answer, "completion_token_ids"),
        logprobs=_logprobs(choice),
        pieces=_pieces(choice),
    )


def _first_choice(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise _bad(f"it is a {type(answer).__name__}, not an object")
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise _bad(f"it has no choices (its keys: {', '.join(map(str, answer))[:100]})")
    return choices[0]


def _content(value: Any) -> str:
    """Text; null is empty; a list of parts is joined."""
    if value is None:
        return ""
    if isinstance(value, list):
        parts = [part.get("text") for part in value if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str))
    if not isinstance(value, str):
        raise _bad(f"its content is a {type(value).__name__}, not text")
    return value


def _tool_calls(value: Any) -> tuple[ToolCall, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _bad("its tool_calls are no list")
    calls = []
    for index, call in enumerate(value):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise _bad(f"its tool call {index} has no function name")
        arguments = function.get("arguments", "")
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments)
        calls.append(
            ToolCall(_text(call.get("id")) or f"call_{index}", function["name"], arguments)
        )
    return tuple(calls)


def _usage(value: Any, prices: Prices) -> Usage:
    """Token counts; a provider that sends none, or odd ones, counts as 0."""
    source = value if isinstance(value, dict) else {}
    counts = [
        count if isinstance(count := source.get(name), int) and count > 0 else 0
        for name in ("prompt_tokens", "completion_tokens")
    ]
    return Usage(counts[0], counts[1], prices.cost(counts[0], counts[1]))


def _ints(choice: dict[str, Any], answer: dict[str, Any], name: str) -> tuple[int, ...]:
    value = choice.get(name, answer.get(name)) or ()
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, int) for item in value):
        raise _bad(f"its {name} are no list of integers")
    return tuple(value)


def _logprobs(choice: dict[str, Any]) -> tuple[float, ...]:
    value = choice.get("token_logprobs")
    if value is None:
        detail = choice.get("logprobs")
        if isinstance(detail, list):
            value = detail
        else:
            rows = detail.get("content") if isinstance(detail, dict) else None
            value = [row.get("logprob") for row in rows or () if isinstance(row, dict)]
    if not isinstance(value, list):
        raise _bad("its token_logprobs are no list")
    return tuple(_number(item) for item in value)


def _pieces(choice: dict[str, Any]) -> tuple[str, ...]:
    """What each sampled token says, as OpenAI's `logprobs.content` tells it; empty without."""
    detail = choice.get("logprobs")
    rows = detail.get("content") if isinstance(detail, dict) else None
    if not isinstance(rows, list):
        return ()
    return tuple(_text(row.get("token")) for row in rows if isinstance(row, dict))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _bad(f"it has {str(value)[:40]!r} where a number belongs")
    return float(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _excerpt(body: bytes) -> str:
    return f"it begins {body[:60]!r}"


def _bad(what: str) -> ProviderError:
    return ProviderError(
        f"The model API's answer is no chat completion: {what}.",
        hint="Check that the provider's URL is an OpenAI-compatible base URL.",
        code="bad_answer",
    )
