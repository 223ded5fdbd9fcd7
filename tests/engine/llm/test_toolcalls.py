"""Every way in which a model says what it does, and every way in which it fails to."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest

from engine.errors import ReplyError
from engine.llm.toolcalls import read_reply
from engine.llm.types import Reply, ToolCall


def tool(name: str, parameter: str, kind: str) -> dict[str, Any]:
    properties = {parameter: {"type": kind}}
    schema = {"type": "object", "properties": properties, "required": [parameter]}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


GAME = [tool("interact_many", "actions", "array")]
BOTH = '{"actions": ["do", "move_left"]}'
MATH = [tool("math_submit", "answer", "string")]


def structured(*calls: tuple[str, str], finish: str = "tool_calls") -> Reply:
    return Reply("", tuple(ToolCall("c", *call) for call in calls), finish, "m")


def written(text: str, finish: str = "stop") -> Reply:
    return Reply(text, (), finish, "m")


def test_a_structured_call_is_read():
    call = read_reply(structured(("interact_many", '{"actions": ["do"]}')), GAME)
    assert (call.name, call.arguments) == ("interact_many", {"actions": ["do"]})


def test_a_structured_call_counts_before_the_text():
    reply = Reply(
        "ACTION: sleep", (ToolCall("c", "interact_many", '{"actions": [5]}'),), "stop", "m"
    )
    assert read_reply(reply, GAME).arguments == {"actions": [5]}


@pytest.mark.parametrize(
    "text",
    [
        f'<tool_call>\n{{"name": "interact_many", "arguments": {BOTH}}}\n</tool_call>',
        f'<tool_call>{{"name": "interact_many", "arguments": {json.dumps(BOTH)}}}',
        f'{{"name": "interact_many", "arguments": {BOTH}}}',
        f'```json\n{{"name": "interact_many", "parameters": {BOTH}}}\n```',
        f'[{{"name": "interact_many", "arguments": {BOTH}}}]',
        "I will.\n<action>do, move_left</action>",
        "<action>do</action> and then <action>move_left</action>",
        "[action]do, move_left[/action]",
        "[action] do move_left",
        "thinking...\nACTION: do, move_left",
        "**Actions:** do, move_left",
        'ACTION: ["do", "move_left"]',
        "<think>ACTION: sleep</think>ACTION: do, move_left",
    ],
)
def test_text_forms_are_read(text: str):
    assert read_reply(written(text), GAME).arguments == {"actions": ["do", "move_left"]}


def test_free_text_is_no_answer_to_a_tool_that_takes_text():
    with pytest.raises(ReplyError) as caught:
        read_reply(written("ACTION: 42"), MATH)
    assert caught.value.code == "no_call"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (written(""), "no_call"),
        (written("I would rather chat about action movies."), "no_call"),
        (written("<think>ACTION: do"), "no_call"),
        (structured(("interact_many", '{"actions": ["do"]}'), ("x", "{}")), "many_calls"),
        (written("<tool_call>{}</tool_call>"), "bad_json"),
        (written("<tool_call>[1]</tool_call>"), "bad_json"),
        (
            written('<tool_call>{"name": "interact_many", "arguments": {"actions": ["do"'),
            "bad_json",
        ),
        (written('<tool_call>{"name": "fly", "arguments": {}}</tool_call>'), "unknown_tool"),
        (structured(("fly", "{}")), "unknown_tool"),
        (structured(("interact_many", '{"actions": ["do"')), "bad_json"),
        (structured(("interact_many", "[" * 100_000)), "bad_json"),
        (structured(("interact_many", "")), "bad_arguments"),
        (structured(("interact_many", "[]")), "bad_arguments"),
        (structured(("interact_many", '{"action": "do"}')), "bad_arguments"),
        (structured(("interact_many", '{"actions": "do"}')), "bad_arguments"),
        (structured(("interact_many", '{"actions": null}')), "bad_arguments"),
        (written("no", finish="content_filter"), "refusal"),
    ],
)
def test_what_is_no_usable_call_has_a_code_and_words_for_the_model(reply: Reply, code: str):
    with pytest.raises(ReplyError) as caught:
        read_reply(reply, GAME)
    assert caught.value.code == code
    assert len(str(caught.value)) > 20


def test_two_written_calls_are_two_calls():
    one = '<tool_call>{"name": "interact_many", "arguments": {"actions": ["do"]}}</tool_call>'
    with pytest.raises(ReplyError) as caught:
        read_reply(written(one + one), GAME)
    assert caught.value.code == "many_calls"


def test_a_call_cut_off_by_its_token_limit_says_so():
    with pytest.raises(ReplyError, match="cut off at its token limit"):
        read_reply(structured(("interact_many", '{"actions": ['), finish="length"), GAME)


@pytest.mark.parametrize(
    "word", ["<action>", "<tool_call>", "<think>", "*: ", "ACTION:\n", "[action]"]
)
def test_a_hostile_text_is_searched_quickly(word: str):
    started = time.process_time()
    with contextlib.suppress(ReplyError):
        read_reply(written(word * 400_000), GAME)
    assert time.process_time() - started < 2


def test_the_words_for_the_model_never_repeat_a_long_name():
    with pytest.raises(ReplyError) as caught:
        read_reply(structured(("x" * 10_000, json.dumps({}))), GAME)
    assert len(str(caught.value)) < 300
