"""Rewards, worked by hand."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import ConfigError
from engine.tasks.crafter.rewards import (
    DecisionRewarder,
    achievement_name,
    event_reward,
    outcome_reward,
    read_step_rewards,
)

WOOD, TABLE, DRINK = "collect_wood", "place_table", "collect_drink"
# new, env reward, achieved
GAME = [
    ([WOOD], 1.0, [WOOD]),
    ([], -0.2, [WOOD]),
    ([TABLE, DRINK], 2.0, [TABLE, DRINK, WOOD]),
    ([], 0.0, []),
]


def _play(**options: Any) -> tuple[list[float], dict[str, Any], DecisionRewarder]:
    rewarder = DecisionRewarder(read_step_rewards(options))
    amounts = [rewarder.decision(new, env, achieved) for new, env, achieved in GAME]
    return amounts, rewarder.details(), rewarder


@pytest.mark.parametrize("strategy", ["consistent", "simple"])
def test_consistent_pays_lambda_for_anything_new(strategy: str) -> None:
    amounts, details, _ = _play(strategy=strategy, indicator_lambda=0.5)
    assert amounts == [0.5, 0.0, 0.5, 0.0]
    assert details == {
        "indicator_sum": 2,
        "reward_sum": 1.0,
        "new_achievements_total": 3,
        "mode": "decision_stepwise",
        "strategy": "consistent",
        "indicator_lambda": 0.5,
        "step_beta": 0.0,
        "weights": {},
        "k_limits": {},
    }


@pytest.mark.parametrize("strategy", ["per_achievement", "complex", "achievement_weighted"])
def test_per_achievement_pays_weights_once_each(strategy: str) -> None:
    amounts, details, rewarder = _play(
        strategy=strategy, indicator_lambda=2.0, weights={TABLE: 3, DRINK: 0.5}
    )
    assert amounts == [2.0, 0.0, 7.0, 0.0]  # 2*1; wood is paid; 2*3 + 2*0.5
    assert details["strategy"] == "per_achievement"
    assert rewarder.samples[2]["components"] == {TABLE: 6.0, DRINK: 1.0}


def test_k_limits_say_how_often_an_achievement_is_paid() -> None:
    assert _play(strategy="complex", k_limits={WOOD: 2})[0] == [1.0, 1.0, 2.0, 0.0]
    assert _play(strategy="complex", k_limits={WOOD: 0})[0] == [1.0, 1.0, 3.0, 0.0]
    assert _play(strategy="complex", k_limits={WOOD: -1})[0] == [1.0, 1.0, 3.0, 0.0]


def test_env_sparse_passes_the_game_s_reward_on() -> None:
    assert _play(mode="env_sparse")[0] == [1.0, -0.2, 2.0, 0.0]


@pytest.mark.parametrize("options", [{"mode": "off"}, {"enabled": False}])
def test_off_pays_nothing_but_counts(options: dict[str, Any]) -> None:
    amounts, details, _ = _play(**options)
    assert amounts == [0.0] * 4
    assert (details["mode"], details["indicator_sum"]) == ("off", 2)


def test_names_may_use_the_alias() -> None:
    rewarder = DecisionRewarder(
        read_step_rewards({"strategy": "complex", "weights": {"craft_wood_pickaxe": 4}})
    )
    assert rewarder.decision(["make_wood_pickaxe"]) == 4.0
    assert achievement_name("craft_iron_sword") == "make_iron_sword"


def test_beta_is_step_beta() -> None:
    assert read_step_rewards({"beta": 0.25}).step_beta == 0.25


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "dense"}, "mode 'dense' is unknown; known: decision_stepwise, off, env_sparse"),
        ({"strategy": "best"}, "strategy 'best' is unknown; known: consistent"),
        ({"weights": {"fly": 1}}, "achievement 'fly' is unknown"),
        ({"k_limit": {}}, "no key 'k_limit'; known: .*k_limits"),
    ],
)
def test_what_it_does_not_know_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_step_rewards(options)


def test_samples_are_those_of_synth() -> None:
    rewarder = DecisionRewarder(read_step_rewards({}))
    rewarder.decision([WOOD], 1.0, actions=["do"])
    assert rewarder.samples == [
        {
            "decision_index": 0,
            "indicator": 1,
            "r_i": 1.0,
            "base": 1.0,
            "strategy": "consistent",
            "actions": ["do"],
        }
    ]


def test_event_and_outcome_rewards() -> None:
    assert event_reward("unique", [TABLE], [TABLE, WOOD]) == 1.0
    assert event_reward("absolute", [TABLE], [TABLE, WOOD, WOOD]) == 2.0
    assert outcome_reward([WOOD, TABLE, WOOD]) == 2.0
    assert outcome_reward([]) == 0.0
