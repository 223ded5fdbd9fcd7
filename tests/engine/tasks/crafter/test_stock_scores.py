"""Our world scores like stock's: random play on 200 seeds.

Stock here is the installed crafter as it is, pictures and all. Its games are not repeatable (that
is why ours exists), so one seed gives two different games and only distributions can be compared.
Both sides play 300 actions a seed, keyed by the seed.

Tolerance: this is a test of equality, so it must not cry wolf. The permutation test on unique
achievements and the two-proportion tests on each of the 22 achievements are each held to
alpha = 0.001 / 23 (Bonferroni): if the rules are the same, one run in a thousand fails. Our side
is fixed by its seeds; stock's numpy hash order is not. A change of rules is seen from a difference
of about 0.5 achievements, or 20 percentage points of one achievement, on; every step of equal
rules is compared exactly in test_world.py.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from statistics import mean

import crafter
import pytest

from engine.tasks.crafter.rules import ACHIEVEMENTS
from engine.tasks.crafter.task import CrafterTask

SEEDS = range(200)
N_STEPS = 300
ALPHA = 0.001 / (1 + len(ACHIEVEMENTS))


def _play(seed: int, step: Callable[[int], bool]) -> None:
    chance = random.Random(seed)
    for _ in range(N_STEPS):
        if step(chance.randrange(17)):
            return


def _play_stock(seed: int) -> set[str]:
    env = crafter.Env(seed=seed)
    env.reset()
    unlocked: set[str] = set()

    def step(action: int) -> bool:
        _, _, done, info = env.step(action)
        unlocked.update(name for name, count in info["achievements"].items() if count)
        return bool(done)

    _play(seed, step)
    return unlocked


def _play_ours(task: CrafterTask, seed: int) -> set[str]:
    game = task.new_game(seed, {})
    _play(seed, lambda action: game.step(action).done)
    return set(game.unlocked)


def _permutation_p(a: list[int], b: list[int], n: int = 50_000) -> float:
    """How often chance alone gives two means as far apart as these."""
    chance, pool = random.Random(0), a + b
    found, extreme = abs(mean(a) - mean(b)), 0
    for _ in range(n):
        chance.shuffle(pool)
        extreme += abs(sum(pool[: len(a)]) / len(a) - sum(pool[len(a) :]) / len(b)) >= found
    return (extreme + 1) / (n + 1)


def _proportions_p(a: int, b: int, n: int) -> float:
    """Two-sided, pooled normal approximation."""
    pooled = (a + b) / (2 * n)
    if pooled in (0.0, 1.0):
        return 1.0
    z = abs(a - b) / n / math.sqrt(2 * pooled * (1 - pooled) / n)
    return math.erfc(z / math.sqrt(2))


@pytest.mark.slow
def test_random_play_scores_as_in_stock(task: CrafterTask) -> None:
    stock = [_play_stock(seed) for seed in SEEDS]
    ours = [_play_ours(task, seed) for seed in SEEDS]
    p = _permutation_p([len(s) for s in stock], [len(s) for s in ours])
    assert p > ALPHA, f"means {mean(map(len, stock))} and {mean(map(len, ours))}, p = {p}"
    for name in ACHIEVEMENTS:
        counts = sum(name in s for s in stock), sum(name in s for s in ours)
        assert _proportions_p(*counts, len(SEEDS)) > ALPHA, f"{name}: {counts} of {len(SEEDS)}"
    assert mean(map(len, ours)) > 1
