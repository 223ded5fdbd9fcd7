from __future__ import annotations

import pytest

from engine.train.tokenizer import tool_call_frame
from tests.engine.train.cast import SYSTEM, TOOLS, tiny_tokenizer, turn


@pytest.mark.parametrize(
    "text",
    [
        "tree left 2",
        "Grüße 🎉 \x00 مرحبا\t\r\n",
        "  two  spaces ",
        "<think>12345</think>",
        "𝔘" * 50,
    ],
)
def test_every_text_survives_encoding_and_decoding(text: str) -> None:
    tokenizer = tiny_tokenizer()
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_each_word_and_fact_of_the_task_is_one_token() -> None:
    tokenizer = tiny_tokenizer()
    for word in ("tree", " cow", '"move_left"', ', "do"', " left left left", " wood 2", SYSTEM):
        assert len(tokenizer(word)["input_ids"]) == 1, word


def test_a_tool_call_is_written_as_qwen3_writes_it() -> None:
    tokenizer = tiny_tokenizer()
    text = tokenizer.apply_chat_template(turn("tree", ["do"])["messages"], tokenize=False)
    opening, closing = tool_call_frame("interact_many", "actions")
    assert text.endswith(f'<|im_start|>assistant\n{opening}"do"{closing}<|im_end|>')


def test_a_prompt_is_the_beginning_of_its_record() -> None:
    tokenizer, record = tiny_tokenizer(), turn("cow left 1", ["sleep"])
    whole = tokenizer.apply_chat_template(record["messages"], tools=TOOLS, tokenize=False)
    prompt = tokenizer.apply_chat_template(
        record["messages"][:-1], tools=TOOLS, tokenize=False, add_generation_prompt=True
    )
    assert whole.startswith(prompt)


def test_the_same_words_give_the_same_tokenizer() -> None:
    assert (
        tiny_tokenizer().backend_tokenizer.to_str() == tiny_tokenizer().backend_tokenizer.to_str()
    )
