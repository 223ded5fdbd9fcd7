"""Synth's own example configs are accepted as they are (their keys, written anew here)."""

from __future__ import annotations

import pytest

from engine.config import ConfigErrors, Machine, RlConfig, load_json, load_toml, resolve
from engine.tasks import world_of
from tests.engine.config.synth_texts import (
    EVAL_STEPWISE,
    FFT_4B,
    MATH_EVAL,
    MATH_RL,
    RL,
    RL_FROM_FT,
)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (RL, "rl"),
        (RL_FROM_FT, "rl"),
        (MATH_RL, "rl"),
        (MATH_EVAL, "eval"),
        (EVAL_STEPWISE, "eval"),
        (FFT_4B, "sft"),
    ],
    ids=["rl", "rl_from_ft", "math_rl", "math_eval", "eval_stepwise", "fft_4b"],
)
def test_synths_configs_are_accepted_as_they_are(text: str, kind: str) -> None:
    loaded = load_toml(text)
    assert loaded.kind == kind
    assert resolve(loaded.config, Machine()).config["type"] in (kind, "rl")


def test_a_stepwise_eval_is_played_as_it_says() -> None:
    play = load_toml(EVAL_STEPWISE).config.play()  # type: ignore[attr-defined]
    assert play.seeds == tuple(range(1, 11))
    assert play.step_rewards.weights == {"collect_sapling": 0.1, "craft_wood_pickaxe": 0.3}
    assert (play.temperature, play.top_p, play.max_tokens) == (0.2, 0.95, 512)
    assert play.extra == {"thinking_mode": "think", "thinking_budget": 1024}


def test_a_math_eval_takes_its_split_and_its_policy() -> None:
    play = load_toml(MATH_EVAL).config.play()  # type: ignore[attr-defined]
    assert play.options["split"] == "validation"
    assert (play.task, play.max_turns, play.options["attempts"]) == ("math", 1, 1)
    assert (play.seeds[0], len(play.seeds), play.temperature) == (0, 50, 0.0)
    assert play.inference_url == "https://example.com/api/inference"


def test_a_math_eval_keeps_what_it_plays_when_it_is_frozen() -> None:
    config = load_toml(MATH_EVAL + '\n[math]\nfamily = "gcd"\nreward_positive = 2.0\n').config
    frozen = resolve(config, Machine()).config
    play = load_json(frozen).config.play()  # type: ignore[attr-defined]
    assert play == config.play()  # type: ignore[attr-defined]
    assert (play.options["family"], play.options["reward_positive"]) == ("gcd", 2.0)
    assert world_of("math", frozen).endswith("/gcd/normal/test")


def test_a_wrong_answer_may_be_tried_again_as_often_as_there_are_turns() -> None:
    play = load_toml(MATH_EVAL.replace("[policy]", "max_turns = 3\n[policy]")).config.play()  # type: ignore[attr-defined]
    assert (play.max_turns, play.options["attempts"]) == (3, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('task = "crafter"\nsplit = "test"', "split belongs to math"),
        ('task = "math"\ndifficulty = "peaceful"', "math has no difficulty peaceful"),
        ('task = "math"\n[math]\nfamily = "chess"', "family"),
    ],
)
def test_a_key_of_the_other_task_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigErrors, match=words):
        load_toml(f'model = "m"\nseeds = [1]\n{text}')


def test_problems_are_collected_from_train_and_scored_on_test() -> None:
    texts = {kind: f'type = "{kind}"\nmodel = "guide"\ntask = "math"\nseeds = [1]' for kind in
             ("eval", "rollout")}  # fmt: skip
    splits = {
        kind: load_toml(text).config.play().options["split"]  # type: ignore[attr-defined]
        for kind, text in texts.items()
    }
    assert splits == {"eval": "test", "rollout": "train"}


SHAPED = (
    RL
    + """
[rollout.policy_config.step_rewards]
enabled = true
strategy = "complex"
weights = { collect_wood = 0.5 }
"""
)


@pytest.mark.parametrize("text", [RL, MATH_RL, RL_FROM_FT, SHAPED.replace("step_rewards_", "#")])
def test_a_frozen_rl_config_plans_what_the_written_one_did(text: str) -> None:
    written = load_toml(text).config
    frozen = load_json(resolve(written, Machine()).config).config
    assert isinstance(written, RlConfig)
    assert isinstance(frozen, RlConfig)
    assert frozen.plan() == written.plan()
    assert frozen.plan().task == ("math" if text == MATH_RL else "crafter")
