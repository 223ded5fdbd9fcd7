"""A model's reply -> exactly one tool call. The only parser: every policy goes through it.

Lives here: finding and checking the call. Not here: what its actions mean (`Task.read_call`).

A structured call counts first. Without one the text is read: `<tool_call>{json}</tool_call>`, an
answer that is nothing but the JSON of a call (alone or in a fence, as Llama and Mistral write it),
then the text forms `<action>a, b</action>`, `[action]a, b[/action]` and `ACTION: a, b`. Text inside
`<think>` never counts. What cannot be used becomes a ReplyError whose message the model is told;
nothing is guessed and nothing becomes a silent noop.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from engine.errors import ReplyError
from engine.llm.types import Reply, ToolCall

_THINK = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_TAGGED = re.compile(r"<tool_call>(.*?)(</tool_call>|(?=<tool_call>)|\Z)", re.DOTALL)
_ACTION_FORMS = (
    re.compile(r"<action>(.*?)(?:</action>|\n|\Z)", re.DOTALL | re.IGNORECASE),
    re.compile(r"\[action\](.*?)(?:\[/action\]|\n|\Z)", re.DOTALL | re.IGNORECASE),
    re.compile(r"^[ \t*]*actions?[ \t*]*:[ \t*]*(.+)$", re.MULTILINE | re.IGNORECASE),
)
_FENCE = re.compile(r"\A```(?:json)?\s*(.*?)\s*```\Z", re.DOTALL)
_SEPARATORS = re.compile(r"[\s,;]+")
_MAX_TEXT = 200_000  # characters of free text that are searched
_JSON_TYPES: dict[str, type | tuple[type, ...]] = {
    "array": list,
    "string": str,
    "object": dict,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


class Call(NamedTuple):
    """The one tool call of a reply."""

    id: str
    name: str
    arguments: dict[str, Any]


def read_reply(reply: Reply, tools: Sequence[Mapping[str, Any]]) -> Call:
    """The reply's single call of one of `tools` (OpenAI tool definitions).

    Raises ReplyError, code: refusal, no_call, many_calls, unknown_tool, bad_json, bad_arguments.
    """
    if reply.finish_reason in ("content_filter", "refusal"):
        raise ReplyError("You refused to answer. Call a tool.", code="refusal")
    calls = reply.tool_calls or find_text_calls(reply.content, tools)
    if not calls:
        raise ReplyError(
            f"Your answer has no tool call. Call {_names(tools)} once.", code="no_call"
        )
    if len(calls) > 1:
        raise ReplyError(
            f"Your answer has {len(calls)} tool calls; only one is allowed. Nothing was played.",
            code="many_calls",
        )
    call = calls[0]
    schema = _schema_of(call.name, tools)
    cut_off = reply.finish_reason == "length"
    return Call(call.id, call.name, _read_arguments(call, schema, cut_off=cut_off))


def find_text_calls(text: str, tools: Sequence[Mapping[str, Any]]) -> tuple[ToolCall, ...]:
    """Calls written as text. Raises ReplyError (bad_json) for a `<tool_call>` that is no JSON."""
    text = _THINK.sub("", text[:_MAX_TEXT])
    tagged = [match.group(1) for match in _TAGGED.finditer(text)]
    if tagged:
        return tuple(_read_tagged(body, index) for index, body in enumerate(tagged))
    bare = _read_bare(text)
    if bare:
        return bare
    listed = _list_tool(tools)
    if listed is None:
        return ()
    for form in _ACTION_FORMS:
        words = [word for body in form.findall(text) for word in _split_words(body)]
        if words:
            return (ToolCall("call_0", listed[0], json.dumps({listed[1]: words})),)
    return ()


def _read_tagged(body: str, index: int) -> ToolCall:
    try:
        record = json.loads(body)
    except (ValueError, RecursionError) as err:
        raise ReplyError(
            f"The JSON in your <tool_call> cannot be read ({_reason(err)}).", code="bad_json"
        ) from err
    name = record.get("name") if isinstance(record, dict) else None
    if not isinstance(name, str):
        raise ReplyError(
            'Your <tool_call> needs {"name": ..., "arguments": {...}}.', code="bad_json"
        )
    arguments = record.get("arguments", {})
    raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCall(f"call_{index}", name, raw)


def _read_bare(text: str) -> tuple[ToolCall, ...]:
    """Calls of a text that is JSON and nothing else: one `{"name", "arguments"}` or a list of them.

    Llama says "parameters" for the arguments.
    """
    text = _FENCE.sub(r"\1", text.strip())
    if not text.startswith(("{", "[")):
        return ()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    records = found if isinstance(found, list) else [found]
    calls = []
    for index, record in enumerate(records):
        if not isinstance(record, dict) or not isinstance(record.get("name"), str):
            return ()
        arguments = record.get("arguments", record.get("parameters"))
        if not isinstance(arguments, dict | str):
            return ()
        raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
        calls.append(ToolCall(f"call_{index}", record["name"], raw))
    return tuple(calls)


def _split_words(body: str) -> list[str]:
    """`do, move_left` or `["do", "move_left"]` -> the words."""
    words = (word.strip("[]()*.`\"'") for word in _SEPARATORS.split(body))
    return [word for word in words if word]


def _list_tool(tools: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """(tool, parameter) of the first tool whose first required parameter is a list."""
    for tool in tools:
        function = tool.get("function", {})
        parameters = function.get("parameters", {})
        for name in parameters.get("required", [])[:1]:
            if parameters.get("properties", {}).get(name, {}).get("type") == "array":
                return function["name"], name
    return None


def _schema_of(name: str, tools: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    for tool in tools:
        function = tool.get("function", {})
        if function.get("name") == name:
            schema: Mapping[str, Any] = function.get("parameters", {})
            return schema
    raise ReplyError(
        f"There is no tool {name[:80]!r}. Call {_names(tools)} once.", code="unknown_tool"
    )


def _read_arguments(call: ToolCall, schema: Mapping[str, Any], *, cut_off: bool) -> dict[str, Any]:
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError) as err:
        why = "your answer was cut off at its token limit" if cut_off else _reason(err)
        raise ReplyError(
            f"The arguments of {call.name} are no JSON ({why}).", code="bad_json"
        ) from err
    if not isinstance(arguments, dict):
        raise _bad_arguments(call.name, f"they are a {type(arguments).__name__}, not an object")
    properties = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in arguments:
            raise _bad_arguments(call.name, f"{name} is missing")
    for name, value in arguments.items():
        kind = properties.get(name, {}).get("type")
        if kind == "string" and isinstance(value, int | float) and not isinstance(value, bool):
            arguments[name] = str(value)  # `{"answer": 42}` says what `{"answer": "42"}` says
        elif kind in _JSON_TYPES and not isinstance(value, _JSON_TYPES[kind]):
            raise _bad_arguments(call.name, f"{name} is no {kind}")
    return arguments


def _bad_arguments(tool: str, what: str) -> ReplyError:
    return ReplyError(f"The arguments of {tool} are wrong: {what}.", code="bad_arguments")


def _names(tools: Sequence[Mapping[str, Any]]) -> str:
    return " or ".join(tool.get("function", {}).get("name", "?") for tool in tools) or "a tool"


def _reason(err: Exception) -> str:
    return err.msg if isinstance(err, json.JSONDecodeError) else "nested too deep"
