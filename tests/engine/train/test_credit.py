"""Advantages by hand, then their properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.train.credit import assign, returns_to_go, shuffled

EPISODE = {"credit": "episode", "gamma": 1.0}
TURN = {"credit": "turn", "gamma": 0.5}


def test_a_game_is_judged_by_its_sum_against_its_group() -> None:
    credit = assign([[[1.0, 1.0], [0.0, 0.0]]], **EPISODE, normalise="none")
    assert credit.advantages == [[[1.0, 1.0], [-1.0, -1.0]]]


def test_std_divides_by_the_deviation_of_the_group() -> None:
    credit = assign([[[4.0], [0.0]]], **EPISODE, normalise="std")
    assert credit.advantages == [[[1.0], [-1.0]]]


def test_returns_to_go_are_discounted() -> None:
    assert returns_to_go([1.0, 0.0, 2.0], 0.5) == [1.5, 1.0, 2.0]


def test_a_turn_is_judged_against_its_group_at_the_same_turn() -> None:
    # returns-to-go: [1.5, 1] and [0]; means at turn 0: 0.75, at turn 1: 0.5 (the over game is 0)
    credit = assign([[[1.0, 1.0], [0.0]]], **TURN, normalise="none")
    assert credit.advantages == [[[0.75, 0.5], [-0.75]]]


@pytest.mark.parametrize("how", [EPISODE, TURN])
def test_a_group_without_any_difference_is_dropped_and_counted(how: dict[str, float]) -> None:
    same, differs = [[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]
    credit = assign([same, differs], **how, normalise="std")  # type: ignore[arg-type]
    assert credit.n_dead == 1
    assert credit.advantages[0] == []
    assert credit.advantages[1] != []


games = st.lists(st.lists(st.integers(0, 3).map(float), min_size=3, max_size=3), min_size=2)


@given(st.lists(games, min_size=1, max_size=4), st.sampled_from(["none", "std"]))
def test_advantages_of_a_group_add_up_to_nothing_at_every_turn(
    groups: list[list[list[float]]], normalise: str
) -> None:
    for how in (EPISODE, TURN):
        for group in assign(groups, **how, normalise=normalise).advantages:  # type: ignore[arg-type]
            for turn in zip(*group, strict=True):
                assert sum(turn) == pytest.approx(0.0, abs=1e-6)


def test_shuffled_rewards_are_the_same_rewards_in_other_games() -> None:
    groups = [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]
    dealt = shuffled(groups, seed=1)
    assert dealt != groups
    assert sorted(game for group in dealt for game in group) == [
        game for group in groups for game in group
    ]
    assert [len(game) for group in shuffled([[[1.0], [2.0, 3.0]]], 0) for game in group] == [1, 2]
