"""A beginning that records share is read once, and nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.train.batches import collate, may_share
from engine.train.data import IGNORED, encode_records
from tests.engine.train.cast import lessons, tiny_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()


def examples(n_words: int, count: int = 12) -> list[dict[str, Any]]:
    """Records whose system prompt has about so many tokens."""
    records = lessons(count)
    for record in records:
        record["messages"][0] = {"role": "system", "content": "tree " * n_words}
    return [e._asdict() for e in encode_records(enumerate(records, 1), TOKENIZER, 2048)]


def loss_of(model: Any, batch: dict[str, Tensor]) -> Tensor:
    names = ("input_ids", "attention_mask", "position_ids")
    logits = model(**{name: batch[name] for name in names if name in batch}).logits
    flat = logits[:, :-1].reshape(-1, logits.shape[-1])
    return nn.functional.cross_entropy(flat, batch["labels"][:, 1:].reshape(-1))


def test_loss_and_gradients_behind_one_beginning_are_those_of_rows_apart():
    model, rows = tiny_model(TOKENIZER), examples(100)
    apart, together = collate(rows, 0), collate(rows, 0, share=True)
    assert together["input_ids"].numel() * 3 < apart["input_ids"].numel()
    gradients = []
    for batch in (apart, together):
        model.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        gradients.append((loss.item(), model.model.layers[0].self_attn.k_proj.weight.grad.clone()))
    assert gradients[0][0] == pytest.approx(gradients[1][0], abs=1e-5)
    assert torch.allclose(gradients[0][1], gradients[1][1], atol=1e-5)


def test_a_row_grows_no_longer_than_attention_can_bear(monkeypatch):
    monkeypatch.setattr("engine.train.batches.LONGEST_ROW", 560)
    model, rows = tiny_model(TOKENIZER), examples(100)
    together = collate(rows, 0, share=True)
    assert together["input_ids"].shape[0] > 1
    assert together["input_ids"].shape[1] <= 560
    apart = loss_of(model, collate(rows, 0))
    assert loss_of(model, together).item() == pytest.approx(apart.item(), abs=1e-5)


def test_every_learned_token_and_every_record_is_still_there():
    rows = examples(100)
    batch = collate(rows, 0, share=True)
    learned = sum(label != IGNORED for row in rows for label in row["labels"])
    assert int((batch["labels"] != IGNORED).sum()) == learned
    assert batch["record"].tolist() == [row["record"] for row in rows]
    assert int(batch["n_tokens"]) == sum(len(row["input_ids"]) for row in rows)


@pytest.mark.parametrize("rows", [examples(5), examples(100, count=1)])
def test_what_is_not_worth_it_is_padded_as_always(rows):
    assert collate(rows, 0, share=True)["attention_mask"].ndim == 2


def test_only_models_whose_mask_may_have_any_form_share():
    model = tiny_model(TOKENIZER)
    assert may_share(model)
    model.config.layer_types = ["full_attention", "sliding_attention"]
    assert not may_share(model)
