"""One model call as tracing v3 keeps it, in the column `call_records`.

Lives here: the record made of one of our turns, and how JSON, text and times are written. Not here:
the rows around it (`building.py`), reading one (`calls.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from engine.traces.record import Trace, Turn


def call_record(session_id: str, at: float, trace: Trace, turn: Turn) -> dict[str, Any]:
    """One model call as v3 keeps it: what was sent in parts, the answer as an API would give it."""
    summary = trace.summary
    tokens = {"input_tokens": turn.prompt_tokens, "output_tokens": turn.completion_tokens}
    return {
        "call_id": f"{session_id}:{turn.index}",
        "api_type": "chat_completions",
        "provider": summary.provider or None,
        "model_name": summary.model or summary.policy,
        "schema_version": "1.0",
        "started_at": iso(at + turn.started_ms / 1000),
        "completed_at": iso(at + (turn.started_ms + turn.queue_ms + turn.model_ms) / 1000),
        "latency_ms": round(turn.model_ms),
        "request_params": {
            "temperature": summary.temperature,
            "raw_params": {"model": summary.model, "tools": trace.tools},
        },
        "input_messages": [_with_parts(message) for message in turn.messages],
        "output_text": dump(_answer(session_id, summary.model or summary.policy, turn)),
        "output_tool_calls": _output_calls(turn),
        "usage": {**tokens, "total_tokens": _total_tokens(turn), "cost_usd": turn.cost_usd},
        "finish_reason": turn.finish_reason or None,
        "metadata": {"has_tools": bool(trace.tools), "num_tools": len(trace.tools)},
        "outcome": "error" if turn.error_code else "success",
        "error": turn.error or None,
    }


def _answer(session_id: str, model: str, turn: Turn) -> dict[str, Any]:
    """The raw response of a chat API."""
    message: dict[str, Any] = {"role": "assistant", "content": turn.content}
    if turn.raw_calls:
        message["tool_calls"] = [
            {
                "id": call["id"] or f"call_{index}",
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for index, call in enumerate(turn.raw_calls)
        ]
    usage = {"prompt_tokens": turn.prompt_tokens, "completion_tokens": turn.completion_tokens}
    return {
        "id": f"chatcmpl-{session_id}-{turn.index}",
        "object": "chat.completion",
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": turn.finish_reason or None}],
        "usage": {**usage, "total_tokens": _total_tokens(turn)},
    }


def _output_calls(turn: Turn) -> list[dict[str, Any]]:
    return [
        {
            "name": call["name"],
            "arguments_json": call["arguments"],
            "call_id": call["id"] or f"call_{index}",
            "index": index,
        }
        for index, call in enumerate(turn.raw_calls)
    ]


def _total_tokens(turn: Turn) -> int:
    return turn.prompt_tokens + turn.completion_tokens


def _with_parts(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    rest = {key: value for key, value in message.items() if key not in ("role", "content")}
    return {"role": message.get("role", "unknown"), "parts": parts, "metadata": rest}


def text_of(content: Any) -> str:
    if not isinstance(content, str):
        return dump(content)
    return content.encode("utf-8", "replace").decode()


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, tz=UTC).isoformat(timespec="microseconds")


def dump(value: Any) -> str:
    """Escaped to ASCII: SQLite takes no lone surrogate, and a model may write one."""
    return json.dumps(value, separators=(",", ":"))
