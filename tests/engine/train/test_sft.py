from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.train.checkpoints import newest_checkpoint
from engine.train.data import encode_records
from engine.train.sft import Options, Outcome, train
from tests.engine.train.cast import Silent, lessons, tiny_model, tiny_tokenizer

OPTIONS = Options(batch_size=8, learning_rate=5e-3, max_steps=8, save_seconds=None, log_steps=1)
TOKENIZER = tiny_tokenizer()


def teach(folder: Path, reporter: Silent, resume: Path | None = None, **changes: Any) -> Any:
    """Train a fresh tiny model; returns it with the outcome."""
    model = tiny_model(TOKENIZER)
    examples = encode_records(enumerate(lessons(96), start=1), TOKENIZER, 512)
    options = replace(OPTIONS, **changes)
    outcome = train(model, TOKENIZER, examples, examples[:8], options, folder, reporter, resume)
    return model, outcome


@pytest.mark.slow
def test_the_loss_falls_and_every_figure_is_reported(tmp_path: Path) -> None:
    reporter = Silent()
    teach(tmp_path, reporter, max_steps=40)
    losses = [values["train.loss"] for _, values in reporter.metrics]
    assert losses[-1] < losses[0] / 2
    first, last = reporter.metrics[0], reporter.metrics[-1]
    assert (first[0], last[0]) == (1, 40)
    assert last[1].keys() >= {
        "train.loss",
        "train.learning_rate",
        "train.grad_norm",
        "train.tokens_per_second",
        "val.loss",
    }


@pytest.mark.slow
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, half = Silent(), Silent(stop_at=4)
    straight, _ = teach(tmp_path / "a", whole)
    _, stopped = teach(tmp_path / "b", half)
    checkpoint = newest_checkpoint(tmp_path / "b")
    assert checkpoint is not None
    assert stopped.stopped == "cancelled"
    rest = Silent()
    resumed, outcome = teach(tmp_path / "b", rest, resume=checkpoint)
    assert outcome.step == 8
    seen = [step for step, _ in half.metrics] + [step for step, _ in rest.metrics]
    assert sorted(set(seen)) == seen  # no step twice
    loss = {step: values["train.loss"] for step, values in whole.metrics}
    for step, values in rest.metrics:
        assert values["train.loss"] == pytest.approx(loss[step], abs=1e-4)
    for a, b in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.slow
def test_cancelling_keeps_a_complete_checkpoint(tmp_path: Path) -> None:
    reporter = Silent(stop_at=3)
    _, outcome = teach(tmp_path, reporter, max_steps=1000)
    assert isinstance(outcome, Outcome)
    assert outcome.stopped == "cancelled"
    assert outcome.step <= 5
    assert reporter.checkpoints == [newest_checkpoint(tmp_path)]


@pytest.mark.slow
def test_time_ends_a_training_with_a_small_learning_rate(tmp_path: Path) -> None:
    reporter = Silent()
    _, outcome = teach(tmp_path, reporter, max_steps=100_000, max_seconds=6.0)
    assert outcome.stopped == "time"
    assert outcome.seconds < 20
    assert reporter.metrics[-1][1]["train.learning_rate"] < OPTIONS.learning_rate / 2


@pytest.mark.slow
def test_an_adapter_trains_few_weights_and_leaves_the_base(tmp_path: Path) -> None:
    lora = {"r": 4, "alpha": 8, "dropout": 0.0, "target_modules": "all-linear"}
    model = tiny_model(TOKENIZER)
    before = model.model.embed_tokens.weight.clone()
    examples = encode_records(enumerate(lessons(32), start=1), TOKENIZER, 512)
    reporter = Silent()
    options = replace(OPTIONS, lora=lora)
    train(model, TOKENIZER, examples, [], options, tmp_path, reporter)
    assert torch.equal(before, model.model.embed_tokens.weight)
    losses = [values["train.loss"] for _, values in reporter.metrics]
    assert losses[-1] < losses[0]
