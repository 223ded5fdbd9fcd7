"""Findings come once, with figures, when they begin; a healthy training has none."""

from __future__ import annotations

import pytest

from engine.train.diagnostics import KEPT, WINDOW, Diagnostics

HEALTHY = {
    **dict.fromkeys(KEPT, 0.0),
    "train.reward": 3.0, "train.reward_std": 1.0, "train.entropy": 0.8, "tokens.completion": 6.0,
    "calls.failed": 0.02, "episodes.repeated_calls": 0.1, "groups.dead_share": 0.1,
    "reward.event": 3.0,
}  # fmt: skip


def findings(**later: float) -> list[str]:
    """What is said when these figures change after a healthy beginning."""
    diagnostics = Diagnostics()
    told = [diagnostics.look(HEALTHY) for _ in range(WINDOW)]
    told += [diagnostics.look({**HEALTHY, **later}) for _ in range(2 * WINDOW)]
    return [words for found in told for words in found]


def test_a_healthy_training_is_left_alone() -> None:
    assert findings() == []


@pytest.mark.parametrize(
    ("name", "value", "evidence"),
    [
        ("tokens.completion", 20.0, "6.0 tokens at first"),
        ("train.entropy", 0.01, "entropy 0.800 at first"),
        ("train.reward_std", 0.05, "deviation 1.00 at first"),
        ("groups.dead_share", 0.9, "groups teach nothing"),
        ("calls.failed", 0.4, "2% at first"),
        ("episodes.repeated_calls", 0.9, "10% at first"),
        ("reward.bonus", 90.0, "of the reward is bonus"),
        ("train.clip_fraction", 0.6, "clipped"),
    ],
)
def test_a_sign_of_trouble_is_said_once_with_its_evidence(
    name: str, value: float, evidence: str
) -> None:
    told = findings(**{name: value})
    assert len(told) == 1
    assert evidence in told[0]


def test_a_resumed_training_does_not_repeat_what_was_said() -> None:
    before = Diagnostics()
    for value in [0.8] * WINDOW + [0.01] * WINDOW:
        before.look({**HEALTHY, "train.entropy": value})
    again = Diagnostics(before.history)
    assert again.look({**HEALTHY, "train.entropy": 0.01}) == []


def test_a_training_that_has_nothing_to_learn_from_says_so_at_once() -> None:
    alike = {**HEALTHY, "groups.dead_share": 1.0, "calls.failed": 1.0}
    diagnostics = Diagnostics()
    (told,) = diagnostics.look(alike)
    assert "nothing was learned so far" in told
    assert "100% of the tool calls fail" in told
    assert [words for _ in range(2 * WINDOW) for words in diagnostics.look(alike)] == []
    assert Diagnostics(diagnostics.history).look(alike) == []


def test_one_group_that_differs_is_something_to_learn_from() -> None:
    assert Diagnostics().look({**HEALTHY, "groups.dead_share": 0.9}) == []
