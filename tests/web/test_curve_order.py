"""Curves on pages: bounds are bands, some are folded, and the time of an update is split."""

from __future__ import annotations

from apps.runs.queries import SeriesRow
from apps.web.curve_order import order_curves, split_time


def row(name: str, last: float = 1.0) -> SeriesRow:
    return SeriesRow(
        name=name, n_points=1, last_step=1, last_value=last, min_value=0.0, max_value=last
    )


def names(rows: list[SeriesRow]) -> list[str]:
    return [row.name for row in rows]


def test_scores_come_first_bounds_are_no_curves_and_the_rest_is_folded() -> None:
    asked = ("tokens", "train.grad_norm", "achievement.wake_up", "train.reward_low", "train.reward",
             "train.reward_high", "price_low", "train.kl")  # fmt: skip
    found = order_curves([*map(row, asked), row("groups.dead", 0.0)])
    assert names(found.shown) == ["train.reward", "train.kl", "price_low", "train.grad_norm"]
    assert names(found.folded) == ["achievement.wake_up", "groups.dead", "tokens"]


def test_the_time_of_an_update_is_split_into_shares_that_fill_it() -> None:
    found = split_time([row("time.train", 1.0), row("time.generate", 3.0), row("train.loss")])
    assert [(part.start, part.share) for part in found] == [(0, 75), (75, 25)]
    assert split_time([row("train.loss")]) == []
