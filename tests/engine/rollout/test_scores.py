"""Figures with intervals: examples worked by hand, then properties."""

from __future__ import annotations

import math
import random

import pytest

from engine.rollout.scores import (
    achievement_differences,
    achievement_rates,
    as_dict,
    bootstrap_mean,
    crafter_score,
    paired_difference,
    t_quantile,
    wilson_interval,
)


def test_wilson_by_hand():
    # Brown, Cai & DasGupta (2001): 8 of 10 gives 0.4902 to 0.9433.
    assert wilson_interval(8, 10) == pytest.approx((0.49016, 0.94332), abs=1e-5)
    assert wilson_interval(0, 10) == pytest.approx((0, 0.27753), abs=1e-5)
    assert wilson_interval(0, 0) == (0, 1)
    with pytest.raises(ValueError, match="11 successes in 10"):
        wilson_interval(11, 10)


@pytest.mark.parametrize(
    ("df", "expected"),
    [(1, 12.7062), (2, 4.30265), (3, 3.18245), (10, 2.22814), (49, 2.00958), (1000, 1.96234)],
)
def test_t_quantiles_as_in_the_tables(df: int, expected: float):
    assert t_quantile(df) == pytest.approx(expected, abs=2e-5)


def test_t_quantile_is_smooth_where_the_method_changes():
    assert 0 < t_quantile(999) - t_quantile(1000) < 1e-5


def test_paired_difference_by_hand():
    result = paired_difference([1, 2, 3, 4], [2, 2, 5, 3])  # differences 1 0 2 -1
    assert result[:4] == (4, 2.5, 3.0, 0.5)
    half = 3.18245 * math.sqrt(5 / 3) / 2
    assert (result.low, result.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-4)
    assert (result.wins, result.ties, result.losses) == (2, 1, 1)


def test_pairs_must_match_and_one_pair_proves_nothing():
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_difference([1], [])
    assert as_dict(paired_difference([1], [5]))["low"] is None
    assert as_dict(paired_difference([], []))["n"] == 0


def test_the_paired_interval_holds_its_promise():
    rng = random.Random(1)
    held = 0
    for _ in range(1000):
        a = [rng.gauss(2, 1) for _ in range(12)]
        b = [x + rng.gauss(0.5, 1) for x in a]
        result = paired_difference(a, b)
        held += result.low <= 0.5 <= result.high
    assert 925 <= held <= 972


def test_the_bootstrap_interval_holds_its_promise_and_repeats():
    rng = random.Random(4)
    held = 0
    for _ in range(400):  # percentile intervals of 40 values hold in about 94 of 100 cases
        sample = [rng.gauss(3, 1) for _ in range(40)]
        result = bootstrap_mean(sample)
        held += result.low <= 3 <= result.high
    assert 360 <= held <= 392
    assert bootstrap_mean([1, 2, 3], seed=4) == bootstrap_mean([1, 2, 3], seed=4)


def test_the_bootstrap_of_few_values():
    assert bootstrap_mean([]) == (0, 0, 0, 0)
    assert bootstrap_mean([2.5]) == (1, 2.5, 2.5, 2.5)
    assert bootstrap_mean([2, 2, 2]) == (3, 2, 2, 2)


def test_the_interval_of_many_values_is_that_of_many_resamples():
    rng = random.Random(5)
    counts = [float(min(22, int(rng.expovariate(0.5)))) for _ in range(60)]
    seldom = [1.0] * 2 + [0.0] * 58
    for values, near in ((counts, 0.02), (seldom, 0.011)):
        drawn = rng.choices(values, k=20_000 * 60)
        means = sorted(sum(drawn[i : i + 60]) / 60 for i in range(0, len(drawn), 60))
        found = bootstrap_mean(values)
        assert (found.low, found.high) == pytest.approx((means[500], means[19_500]), abs=near)
    assert bootstrap_mean([3.0] * 50) == (50, 3, 3, 3)


def test_crafter_score_by_hand():
    assert crafter_score([0, 0]) == 0
    assert crafter_score([1, 1]) == pytest.approx(100)
    assert crafter_score([0, 1]) == pytest.approx(math.sqrt(101) - 1)
    assert crafter_score([]) == 0


def test_achievements_are_counted_once_an_episode():
    rates = achievement_rates([["wood", "wood"], ["stone"], []], ["wood", "stone", "iron"])
    assert {name: rate.successes for name, rate in rates.items()} == {
        "wood": 1,
        "stone": 1,
        "iron": 0,
    }
    assert rates["wood"].rate == pytest.approx(1 / 3)


def test_achievements_are_compared_pair_by_pair():
    result = achievement_differences([[], ["wood"]], [["wood"], ["wood"]], ["wood"])["wood"]
    assert (result.difference, result.wins, result.ties) == (0.5, 1, 1)
