from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.train.batches import collate
from engine.train.best import Best
from engine.train.data import encode_records
from engine.train.sft import Options, train
from engine.train.validation import measure
from tests.engine.train.cast import Silent, lessons, tiny_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()


def test_patience_counts_measurements_in_a_row_without_a_better_one(tmp_path: Path) -> None:
    best = Best("val.loss", greater=False, keeps_weights=False, patience=2)
    said = [best.note(step, loss) for step, loss in enumerate([3.0, 2.0, 2.5, 1.5, 1.5], start=1)]
    assert (said, best.step, best.value) == ([True, True, False, True, False], 4, 1.5)
    best.save(tmp_path, tmp_path)
    again = Best("val.loss", greater=False, keeps_weights=False, patience=2)
    again.load(tmp_path, tmp_path)
    again.note(6, 1.6)
    assert (again.is_over, again.step) == (True, 4)


def test_packed_records_have_the_loss_of_records_in_rows_of_their_own() -> None:
    examples = encode_records(enumerate(lessons(11), start=1), TOKENIZER, 512)
    rows: list[dict[str, Any]] = [e._asdict() for e in examples]
    model = tiny_model(TOKENIZER).eval()
    losses = []
    for width in (None, 64):
        batch = collate(rows, 0, pack_to=width)
        assert int(batch.pop("n_tokens")) == sum(len(row["input_ids"]) for row in rows)
        assert sorted(batch.pop("record").tolist()) == list(range(1, 12))
        losses.append(float(model(**batch, use_cache=False).loss))  # as the trainer calls it
        assert (width is None) == (len(batch["input_ids"]) == len(rows))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


@pytest.mark.slow
def test_a_training_that_gets_worse_stops_early_with_its_best_weights(tmp_path: Path) -> None:
    model = tiny_model(TOKENIZER)
    examples = encode_records(enumerate(lessons(48), start=1), TOKENIZER, 512)
    wrong = [e._replace(labels=[-100 if t < 0 else 5 for t in e.labels]) for e in examples[:8]]
    options = Options(
        batch_size=8, learning_rate=5e-3, max_steps=200, save_seconds=None, log_steps=1,
        eval_steps=2, keep_best=True, patience=3,
    )  # fmt: skip
    reporter = Silent()
    outcome = train(model, TOKENIZER, examples, wrong, options, tmp_path, reporter)
    losses = {step: v["val.loss"] for step, v in reporter.metrics if "val.loss" in v}
    best = min(losses, key=lambda step: losses[step])
    assert (outcome.stopped, outcome.best_step) == ("early", best)
    assert list(losses)[-1] == best + 6
    found = measure(model, wrong, int(TOKENIZER.pad_token_id))["val.loss"]
    assert found == pytest.approx(losses[best], abs=1e-5)


@pytest.mark.slow
def test_accumulated_batches_make_the_step_of_one_large_batch(tmp_path: Path) -> None:
    examples = encode_records(enumerate(lessons(48), start=1), TOKENIZER, 512)
    options = Options(learning_rate=5e-3, max_steps=3, save_seconds=None, log_steps=1)
    models = []
    for size, accumulate in ((16, 1), (4, 4)):
        model = tiny_model(TOKENIZER)
        changed = replace(options, batch_size=size, gradient_accumulation_steps=accumulate)
        train(model, TOKENIZER, examples, [], changed, tmp_path / str(size), Silent())
        models.append(model)
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=0)
