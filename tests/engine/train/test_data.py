from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import TrainingError
from engine.train.batches import collate
from engine.train.data import (
    IGNORED,
    encode_records,
    read_records,
    split_validation,
    token_pieces,
)
from tests.engine.train.cast import lessons, tiny_tokenizer, turn


def test_the_loss_counts_the_call_and_its_stop_token_and_nothing_else() -> None:
    tokenizer = tiny_tokenizer()
    (example,) = encode_records([(1, turn("tree left 2", ["move_left", "do"]))], tokenizer, 512)
    counted = [token for token in example.labels if token != IGNORED]
    assert [tokenizer.decode([token]) for token in counted] == [
        '<tool_call>\n{"name": "interact_many", "arguments": {"actions": [',
        '"move_left"',
        ', "do"',
        "]}}\n</tool_call>",
        "<|im_end|>",
    ]
    assert example.input_ids[-len(counted) :] == counted


def test_pieces_show_every_token_and_mark_what_is_learned() -> None:
    tokenizer = tiny_tokenizer()
    record = turn("tree left 2 🌲é", ["move_left", "do"])
    (example,) = encode_records([(1, record)], tokenizer, 512)
    pieces = token_pieces(example, tokenizer)
    assert [token for piece in pieces for token in piece.ids] == example.input_ids
    assert "".join(piece.text for piece in pieces) == tokenizer.decode(example.input_ids)
    learned = "".join(piece.text for piece in pieces if piece.learned)
    assert learned.startswith("<tool_call>")
    assert learned.endswith("<|im_end|>")
    n_learned = sum(len(piece.ids) for piece in pieces if piece.learned)
    assert n_learned == sum(label != IGNORED for label in example.labels)


def test_a_record_that_is_too_long_loses_its_beginning() -> None:
    tokenizer = tiny_tokenizer()
    (whole,) = encode_records([(1, turn("tree " * 40, ["do"]))], tokenizer, 512)
    (cut,) = encode_records([(1, turn("tree " * 40, ["do"]))], tokenizer, 16)
    assert cut.input_ids == whole.input_ids[-16:]


@pytest.mark.parametrize(
    ("line", "said"), [("{oops", "no JSON"), ("[]", "messages"), ('{"messages": []}', "messages")]
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(f'{{"messages": [{{}}]}}\n\n{line}\n')
    with pytest.raises(TrainingError, match=rf"data.jsonl:3: .*{said}"):
        list(read_records(path))


def test_records_without_an_assistant_teach_nothing() -> None:
    record = {"messages": [{"role": "user", "content": "tree"}]}
    with pytest.raises(TrainingError, match="assistant"):
        encode_records([(1, record)], tiny_tokenizer(), 512)


def test_held_out_records_are_never_trained_on() -> None:
    examples = encode_records(enumerate(lessons(200), start=1), tiny_tokenizer(), 512)
    training, held_out = split_validation(examples)
    assert len(held_out) == 4
    assert {e.record for e in training}.isdisjoint(e.record for e in held_out)
    assert len(training) + len(held_out) == 200


def test_padding_is_masked_and_not_counted() -> None:
    tokenizer = tiny_tokenizer()
    records = [turn("tree", ["do"]), turn("tree left 1 up 1", ["move_left", "do"])]
    rows = [e._asdict() for e in encode_records(enumerate(records), tokenizer, 512)]
    batch = collate(rows, pad_id=0)
    short = len(rows[0]["input_ids"])
    assert batch["attention_mask"][0].sum() == short
    assert (batch["labels"][0, short:] == IGNORED).all()
