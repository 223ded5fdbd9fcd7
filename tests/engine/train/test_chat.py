"""Templates of foreign models: tools reach them, their calls are read, their answers are found."""

from __future__ import annotations

import json

import pytest

from engine.errors import TrainingError
from engine.llm.toolcalls import find_text_calls
from engine.train.chat import FOREWORD, carries_tools, usable_template
from engine.train.data import IGNORED, encode_records, encode_spoken
from engine.train.tokenizer import CHAT_TEMPLATE
from tests.engine.train.cast import SYSTEM, TOOLS, tiny_tokenizer, turn
from tests.engine.train.foreign import WITHOUT_TOOLS, foreign_tokenizer

MISTRAL = """\
{%- for message in messages %}{%- if message.role == 'user' %}
{{- '[INST]' ~ (tools | tojson) ~ message.content ~ '[/INST]' }}
{%- elif message.tool_calls %}
{{- '[CALLS] [' ~ (message.tool_calls[0].function | tojson) ~ ']<|im_end|>' }}
{%- endif %}{%- endfor %}"""


def test_a_template_that_carries_tools_stays_as_it_is():
    assert usable_template(tiny_tokenizer()) == (CHAT_TEMPLATE, "")


def test_a_template_without_tools_gets_them_as_text():
    tokenizer = foreign_tokenizer()
    tokenizer.chat_template, note = usable_template(tokenizer)
    assert tokenizer.chat_template == FOREWORD + WITHOUT_TOOLS
    assert "told as text" in note
    record = turn("tree left", ["do"])
    text = tokenizer.apply_chat_template(record["messages"], tools=TOOLS, tokenize=False)
    system, user, said = text.split("<|im_end|>\n")[:3]
    assert system.startswith(f"<|im_start|>system\n{SYSTEM}\n\nYou answer by calling")
    assert json.dumps(TOOLS[0]["function"]) in system
    assert user == "<|im_start|>user\ntree left"
    (call,) = find_text_calls(said, TOOLS)
    assert (call.name, call.arguments) == ("interact_many", '{"actions": ["do"]}')


def test_the_text_forms_leave_a_conversation_without_tools_alone():
    tokenizer, messages = foreign_tokenizer(), [{"role": "user", "content": "hello"}]
    plain = tokenizer.apply_chat_template(messages, tokenize=False)
    tokenizer.chat_template = usable_template(tokenizer).text
    assert tokenizer.apply_chat_template(messages, tokenize=False) == plain


def test_what_a_tool_answered_is_told_as_a_user():
    tokenizer = foreign_tokenizer()
    tokenizer.chat_template = usable_template(tokenizer).text
    messages = [*turn("tree", ["do"])["messages"], {"role": "tool", "content": "wood 1"}]
    text = tokenizer.apply_chat_template(messages, tools=TOOLS, tokenize=False)
    assert "<|im_start|>user\n<tool_response>\nwood 1\n</tool_response><|im_end|>" in text


def test_calls_in_a_form_that_nobody_reads_are_written_in_ours():
    tokenizer = foreign_tokenizer(MISTRAL)
    assert not carries_tools(tokenizer, MISTRAL)
    assert carries_tools(tokenizer, MISTRAL.replace("[CALLS] ", ""))
    assert usable_template(tokenizer).text.startswith(FOREWORD)


def test_a_model_without_a_template_gets_one_that_carries_tools():
    tokenizer = foreign_tokenizer(None)
    template, note = usable_template(tokenizer)
    assert "no chat template" in note
    assert carries_tools(tokenizer, template)


def test_answers_are_found_without_marks_as_with_them():
    tokenizer = tiny_tokenizer()
    record = turn("tree left 2", ["move_left", "do"])
    record["messages"] += [{"role": "user", "content": "cow"}, *turn("", ["sleep"])["messages"][2:]]
    (example,) = encode_records([(1, record)], tokenizer, 512)
    ids, spoken = encode_spoken(tokenizer, record)
    assert ids == example.input_ids
    assert spoken == [int(label != IGNORED) for label in example.labels]


def test_a_template_without_marks_is_learned_up_to_its_stop_token():
    tokenizer = foreign_tokenizer()
    tokenizer.chat_template = usable_template(tokenizer).text
    (example,) = encode_records([(1, turn("tree", ["do"]))], tokenizer, 4096)
    learned = tokenizer.decode([label for label in example.labels if label != IGNORED])
    assert learned.startswith("<tool_call>")
    assert learned.endswith("</tool_call><|im_end|>")


def test_a_template_that_rewrites_the_prompt_is_refused_with_what_to_do():
    shouting = WITHOUT_TOOLS.replace("+ message['content'] +", "+ loop.length | string +")
    with pytest.raises(TrainingError, match="does not tell what the assistant says") as caught:
        encode_records([(1, turn("tree", ["do"]))], foreign_tokenizer(shouting), 512)
    assert "{% generation %}" in caught.value.hint
