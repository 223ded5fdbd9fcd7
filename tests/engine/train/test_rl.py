"""Iterations of the trainer on real games: exact tokens, resume, what is recorded and told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.train.rl import RlTrainer
from engine.train.rl_play import trained_turns, training_seeds
from tests.engine.train.players import logprob_distance, make_trainer, rl_plan

pytestmark = pytest.mark.slow


def weights(trainer: RlTrainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.policy.model.parameters()])


@pytest.mark.parametrize("lockstep", [True, False])
def test_the_ids_sampled_in_games_are_the_ids_trained(
    player: Path, tmp_path: Path, lockstep: bool
) -> None:
    plan = rl_plan(lockstep=lockstep)
    trainer, notes = make_trainer(plan, player, tmp_path)
    played = trainer.player.play(1, notes.store)
    assert logprob_distance(trainer, played.traces) < 1e-3


def test_a_resumed_training_equals_an_uninterrupted_one(player: Path, tmp_path: Path) -> None:
    plan = rl_plan()
    whole, all_points = make_trainer(plan, player, tmp_path / "whole")
    whole.train()
    first = tmp_path / "whole" / "step-1"
    again, later = make_trainer(plan, player, tmp_path / "again", first)
    again.train(first)
    assert sorted(later.points) == [2, 3]
    for step, values in later.points.items():
        assert values["train.loss"] != 0
        assert values["train.loss"] == pytest.approx(all_points.points[step]["train.loss"], 1e-4)
        assert values["train.reward"] == all_points.points[step]["train.reward"]
    assert torch.equal(weights(whole), weights(again))


def test_every_world_is_fresh_recorded_and_never_a_held_out_one(
    player: Path, tmp_path: Path
) -> None:
    plan = replace(rl_plan(), seed_start=50, evaluation_seeds=(51, 53), evaluate_every=10)
    trainer, notes = make_trainer(plan, player, tmp_path)
    trainer.train()
    worlds = [seed for number in (1, 2, 3) for seed in training_seeds(plan, number)]
    assert worlds == [50, 52, 54, 55, 56, 57]
    assert {trace.summary.seed for trace in notes.stored} == set(worlds)
    assert {trace.summary.policy_version for trace in notes.stored} == {1, 2, 3}
    assert {"eval.reward"} <= notes.points[1].keys() & notes.points[4].keys()


def test_every_figure_is_told_at_every_iteration(player: Path, tmp_path: Path) -> None:
    trainer, notes = make_trainer(rl_plan(), player, tmp_path)
    trainer.train()
    names = set(notes.points[1])
    assert all(set(values) == names for values in notes.points.values())
    assert names >= {
        "train.reward", "train.reward_std", "train.reward_low", "train.entropy", "train.kl",
        "train.clip_fraction", "train.grad_norm", "groups.dead", "tokens.completion",
        "train.tokens_per_second", "time.generate", "time.environment", "time.train", "time.sync",
        "reward.event", "reward.step", "achievement.collect_wood",
    }  # fmt: skip
    for values in notes.points.values():
        assert values["reward.low"] <= values["reward.mean"] <= values["reward.high"]
        parts = values["reward.event"] + values["reward.step"] + values["reward.bonus"]
        assert values["reward.mean"] == pytest.approx(parts)


def test_an_adapter_learns_and_the_base_stays(player: Path, tmp_path: Path) -> None:
    plan = replace(rl_plan(iterations_per_epoch=1), method="lora")
    trainer, _ = make_trainer(plan, player, tmp_path)
    before = {n: p.detach().clone() for n, p in trainer.policy.model.named_parameters()}
    trainer.train()
    changed = [
        n
        for n, p in trainer.policy.model.named_parameters()
        if not torch.equal(p.detach(), before[n])
    ]
    assert changed
    assert all("lora_" in name for name in changed)
    assert (tmp_path / "step-1" / "adapter_model.safetensors").is_file()


def test_cut_off_answers_and_broken_games_are_not_trained_on(player: Path, tmp_path: Path) -> None:
    plan = replace(rl_plan(), max_tokens=3)
    trainer, notes = make_trainer(plan, player, tmp_path)
    played = trainer.player.play(1, notes.store)
    cut = [t for trace in played.traces for t in trace.turns if t.finish_reason == "length"]
    assert cut
    for trace in played.traces:
        used = trained_turns(plan, trace)
        assert [t.finish_reason != "length" for t in trace.turns] == used
        trace.summary.ended = "model_error"
        assert not any(trained_turns(plan, trace))
