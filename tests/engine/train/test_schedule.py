from __future__ import annotations

from itertools import pairwise

import pytest

from engine.train.schedule import FINAL_RATE, Shape, rate_factor


@pytest.mark.parametrize("shape", ["linear", "cosine", "constant"])
def test_the_rate_rises_to_its_peak_and_ends_as_the_shape_says(shape: Shape) -> None:
    rates = [rate_factor(n / 100, 0.1, shape) for n in range(101)]
    assert rates[5] == pytest.approx(0.5)
    assert rates[10] == 1.0
    assert rates[100] == pytest.approx(1.0 if shape == "constant" else FINAL_RATE)
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_a_cosine_is_half_way_down_in_the_middle() -> None:
    assert rate_factor(0.55, 0.1, "cosine") == pytest.approx((1 + FINAL_RATE) / 2)
