"""R21: a loss that is not finite stops a training with the step and the batch named, and says which
checkpoint is good, or that nothing was learned yet.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.errors import TrainingError
from engine.train.data import Example
from engine.train.sft import Options, Trainer, train
from tests.engine.train.cast import Silent, tiny_model, tiny_tokenizer
from tests.engine.train.players import make_trainer, rl_plan

pytestmark = pytest.mark.slow
NOTHING = "Nothing was learned yet: the model that it began with is as it was."


def poison(model: Any) -> None:
    with torch.no_grad():
        next(p for p in model.parameters() if p.requires_grad).fill_(float("nan"))


def is_finite(checkpoint: Path) -> bool:
    weights = load_file(checkpoint / "model.safetensors")
    return all(bool(torch.isfinite(w).all()) for w in weights.values())


@pytest.mark.parametrize(("bad", "left"), [(1, NOTHING), (3, "Checkpoint step-2 is good.")])
def test_r21_a_training_from_reward_names_iteration_step_and_games(
    player: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: int, left: str
) -> None:
    trainer, notes = make_trainer(rl_plan(), player, tmp_path)
    play = trainer.player.play

    def play_then_poison(number: int, store: Any) -> Any:
        played = play(number, store)
        if number == bad:
            poison(trainer.policy.model)
        return played

    monkeypatch.setattr(trainer.player, "play", play_then_poison)
    words = rf"iteration {bad}, step 1 .*loss is nan.*seed \d+ game"
    with pytest.raises(TrainingError, match=words) as caught:
        trainer.train()
    assert caught.value.hint.startswith(left)
    assert [folder.name for folder in notes.saved] == [f"step-{n}" for n in range(1, bad)]
    assert all(is_finite(folder) for folder in notes.saved)


def test_r21_a_resumed_training_names_the_checkpoint_that_it_went_on_from(
    player: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = rl_plan(iterations_per_epoch=1)
    make_trainer(plan, player, tmp_path / "first")[0].train()
    first = tmp_path / "first" / "step-1"
    trainer, _ = make_trainer(rl_plan(), player, tmp_path / "again", first)
    played = trainer.player.play(2, make_trainer(plan, player, tmp_path)[1].store)
    poison(trainer.policy.model)
    monkeypatch.setattr(trainer.player, "play", lambda number, store: played)
    with pytest.raises(TrainingError) as caught:
        trainer.train(first)
    assert caught.value.hint.startswith("Checkpoint step-1 is good.")


@pytest.mark.parametrize(("bad", "left"), [(1, NOTHING), (3, "Checkpoint step-2 is good.")])
def test_r21_a_fine_tuning_names_step_and_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: int, left: str
) -> None:
    tokenizer = tiny_tokenizer()
    step = Trainer.training_step

    def poisoned(self: Trainer, model: Any, inputs: Any, n: Any = None) -> Any:
        if self.state.global_step + 1 == bad:
            poison(model)
        return step(self, model, inputs, n)

    monkeypatch.setattr(Trainer, "training_step", poisoned)
    examples = [Example([5, 6, 7], [-100, 6, 7], 41), Example([5, 6, 8], [-100, 6, 8], 42)]
    options = replace(Options(), batch_size=2, n_epochs=5, save_steps=1, save_seconds=None)
    notes = Silent()
    words = rf"step {bad}: the loss is nan.* records 4[12], 4[12]"
    with pytest.raises(TrainingError, match=words) as caught:
        train(tiny_model(tokenizer), tokenizer, examples, [], options, tmp_path, notes)
    assert caught.value.hint.startswith(left)
    assert [folder.name for folder in notes.checkpoints] == [f"step-{n}" for n in range(1, bad)]
    assert all(is_finite(folder) for folder in notes.checkpoints)
