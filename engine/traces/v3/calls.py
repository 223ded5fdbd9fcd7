"""The model calls of tracing v3 as conversations, as the exporter of `synth-ai` reads them.

Lives here: one call record -> messages. Not here: which calls are wanted (`choosing.py`), files.

A record's prompt stands in parts. Its answer is `choices[0].message` of `output_text`, the raw
response; the calls stand in `output_tool_calls` when the response has none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from engine.traces.v3.session import load_object, loads


class Conversation(NamedTuple):
    """What was sent and what came back. `failed`: no tool call, or arguments that are no object."""

    messages: bytes  # JSON: a list of OpenAI chat messages
    user_image: bool
    assistant_image: bool
    failed: bool


class Answer(NamedTuple):
    """The model's message."""

    message: dict[str, Any]
    has_image: bool
    failed: bool


def conversations(call_records: Any) -> list[Conversation]:
    """The conversations of one event; those that say nothing are left out."""
    records = loads(call_records)
    found = []
    for record in records if isinstance(records, list) else ():
        if not isinstance(record, dict):
            continue
        messages, user_image = _prompt(record.get("input_messages"))
        answer = read_answer(record.get("output_text"), record.get("output_tool_calls"))
        if answer is None or not messages:
            continue
        text = dump_json([*messages, answer.message])
        found.append(Conversation(text, user_image, answer.has_image, answer.failed))
    return found


def read_answer(output_text: Any, output_calls: Any) -> Answer | None:
    """The answer of a record; None when there is neither text nor call."""
    content: Any = ""
    has_image = False
    calls: list[dict[str, Any]] = []
    choices = load_object(output_text).get("choices") if output_text else None
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        message = choices[0].get("message")
        if isinstance(message, Mapping):
            content, has_image = _answer_content(message.get("content"))
            calls = _tool_calls(message.get("tool_calls"))
    if not calls:
        calls = _tool_calls(output_calls)
    answer = {"role": "assistant", "content": content}
    if calls:
        answer["tool_calls"] = calls
    elif content in ("", None):
        return None
    return Answer(answer, has_image, _failed(calls))


def dump_json(value: Any) -> bytes:
    """As the original writes it; escaped where UTF-8 cannot say it (half of a surrogate pair)."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def _prompt(value: Any) -> tuple[list[dict[str, Any]], bool]:
    """The messages that were sent, empty ones left out, and whether a user's has an image."""
    messages, user_image = [], False
    for message in value if isinstance(value, list) else ():
        if not isinstance(message, Mapping):
            continue
        role = message.get("role", "unknown")
        content, has_image = _content(message.get("parts"))
        if content == "" and not has_image:
            continue
        user_image |= has_image and role == "user"
        messages.append({"role": role, "content": content})
    return messages, user_image


def _content(parts: Any) -> tuple[Any, bool]:
    """A single text part is its text; more, or an image, are a list of segments."""
    segments: list[dict[str, Any]] = []
    has_image = False
    for part in parts if isinstance(parts, list) else ():
        if not isinstance(part, Mapping):
            continue
        if part.get("type") == "text":
            if isinstance(part.get("text"), str):
                segments.append({"type": "text", "text": part["text"]})
        else:
            url = _image_url(part)
            if url:
                has_image = True
                segments.append({"type": "image_url", "image_url": {"url": url}})
    if not segments:
        return "", False
    if not has_image and len(segments) == 1:
        return segments[0]["text"], False
    return segments, has_image


def _image_url(part: Mapping[str, Any]) -> str:
    """The address of a part that is an image, as data where it was stored so; "" otherwise."""
    if part.get("type") == "image_url":
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, Mapping) else ""
        return url if isinstance(url, str) else ""
    if part.get("type") != "image":
        return ""
    uri = part.get("uri")
    if isinstance(uri, str) and uri.startswith("data:"):
        return uri
    source = part.get("data") or part.get("source")
    if isinstance(source, Mapping) and isinstance(source.get("data"), str) and source["data"]:
        media = source.get("media_type") or part.get("mime_type") or "image/png"
        return f"data:{media};base64,{source['data']}"
    return ""


def _answer_content(content: Any) -> tuple[Any, bool]:
    if isinstance(content, list):
        return _content(content)
    if content is None:
        return "", False
    return (content if isinstance(content, str) else str(content)), False


def _tool_calls(value: Any) -> list[dict[str, Any]]:
    """Calls in OpenAI's form; arguments are a string, a missing id is `call_{index}`."""
    found = []
    for index, call in enumerate(value if isinstance(value, Iterable) else ()):
        if not isinstance(call, Mapping):
            continue
        function = call.get("function")
        function = function if isinstance(function, Mapping) else {}
        name = call.get("name") or function.get("name") or "tool"
        if "arguments" in function:
            arguments = function["arguments"]
        else:
            arguments = call.get("arguments")
            if arguments is None:
                arguments = _reread(call.get("arguments_json"))
        found.append({
            "id": str(call.get("id") or call.get("call_id") or f"call_{index}"),
            "type": "function",
            "function": {"name": str(name), "arguments": _as_text(arguments)},
        })  # fmt: skip
    return found


def _reread(text: Any) -> Any:
    """Arguments that came as JSON; what is none stays as it is."""
    if not isinstance(text, str):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _as_text(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments
    if arguments is None:
        return "{}"
    if isinstance(arguments, dict | list):
        return json.dumps(arguments, ensure_ascii=False)
    return str(arguments)


def _failed(calls: list[dict[str, Any]]) -> bool:
    return not calls or not all(
        isinstance(loads(call["function"]["arguments"]), dict) for call in calls
    )
