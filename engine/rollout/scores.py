"""Figures about episodes, honest about chance: rates, means, scores, differences, intervals.

Lives here: pure functions, used by the result of a run, the comparison page and the loop's table.
Not here: which episodes count (broken ones never do: `engine.traces.record.BROKEN`).
All intervals are 95 %.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from statistics import fmean, stdev
from typing import Any, NamedTuple

Z95 = 1.959963984540054
N_RESAMPLES = 2000
MOST_RESAMPLED = 40  # values: 9 ms; of more the expansion is nearer than 2,000 resamples are
MAX_PAIRS = 1_000_000  # nobody plays more to decide one question


class Interval(NamedTuple):
    low: float
    high: float


class Rate(NamedTuple):
    """How often something happened: `successes` of `n`, `rate` 0-1, with its Wilson interval."""

    successes: int
    n: int
    rate: float
    low: float
    high: float


class Mean(NamedTuple):
    """A mean over `n` episodes with its bootstrap interval."""

    n: int
    mean: float
    low: float
    high: float


class MainScore(NamedTuple):
    """What a run is judged by: `name` is achievements (a mean) or accuracy (a rate, 0-1)."""

    name: str
    n: int
    mean: float
    low: float
    high: float


class PairedDifference(NamedTuple):
    """`b - a` over pairs that share seed and repeat; `low`..`high` is the interval of the mean."""

    n: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    wins: int  # pairs in which b is higher
    ties: int
    losses: int


def main_score(result: Mapping[str, Any]) -> MainScore | None:
    """The figure that a run's result is judged by; None while there is none.

    A task with achievements is scored by their mean, another by the share of solved episodes.
    """
    for name, key, value in (("accuracy", "accuracy", "rate"), ("achievements", "unique", "mean")):
        found = result.get(key)
        if isinstance(found, dict) and found.get("n"):
            return MainScore(name, found["n"], found[value], found["low"], found["high"])
    return None


def wilson_interval(count: int, n: int, z: float = Z95) -> Interval:
    """Interval of a success rate; (0, 1) when nothing was tried.

    Raises ValueError unless 0 <= count <= n.
    Source: E. B. Wilson, JASA 22 (1927) 209-212.
    """
    if not 0 <= count <= n:
        raise ValueError(f"{count} successes in {n} tries")
    if n == 0:
        return Interval(0.0, 1.0)
    p = count / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if count == 0 else (centre - half) / scale
    high = 1.0 if count == n else (centre + half) / scale
    return Interval(low, high)


def success_rate(count: int, n: int) -> Rate:
    """`count` of `n` with its Wilson interval."""
    low, high = wilson_interval(count, n)
    return Rate(count, n, count / n if n else 0.0, low, high)


def bootstrap_mean(values: Sequence[float], *, seed: int = 0) -> Mean:
    """Mean with its percentile bootstrap interval, the same for the same values and seed.

    Fewer than two values have no interval: low = high = mean. No values: all 0. Up to 40 values
    are resampled 2,000 times; of more the resamples' distribution is near enough to its expansion.
    Without numpy, which would weigh 30 MB in web and worker.
    Source: Efron & Tibshirani, "An Introduction to the Bootstrap" (1993), ch. 13.
    """
    n = len(values)
    if n == 0:
        return Mean(0, 0.0, 0.0, 0.0)
    mean = fmean(values)
    if n == 1:
        return Mean(1, mean, mean, mean)
    low, high = _resample(tuple(values), seed) if n <= MOST_RESAMPLED else _expand(values, mean)
    return Mean(n, mean, low, high)


@lru_cache(maxsize=32)
def _resample(values: tuple[float, ...], seed: int) -> Interval:
    """The middle 95 % of the means of 2,000 resamples.

    Kept, since a run asks for the same values as achievements and as reward.
    """
    n = len(values)
    drawn = iter(itemgetter(*_places(n, seed))(values))
    means = sorted(sum(resample) / n for resample in zip(*[drawn] * n, strict=True))
    return Interval(_quantile(means, 0.025), _quantile(means, 0.975))


@lru_cache(maxsize=4)
def _places(n: int, seed: int) -> tuple[int, ...]:
    """Which of n values stand in the 2,000 resamples, one behind the other."""
    return tuple(random.Random(seed).choices(range(n), k=N_RESAMPLES * n))


def _expand(values: Sequence[float], mean: float) -> Interval:
    """The same interval in the limit of many resamples: Cornish-Fisher to the order 1/n.

    Source: P. Hall, "The Bootstrap and Edgeworth Expansion" (1992), 2.5 and 3.5.
    """
    n = len(values)
    variance = fmean((value - mean) ** 2 for value in values)
    if variance == 0:
        return Interval(mean, mean)
    skewness = fmean((value - mean) ** 3 for value in values) / variance**1.5 / math.sqrt(n)
    kurtosis = (fmean((value - mean) ** 4 for value in values) / variance**2 - 3) / n
    z = Z95
    even = skewness * (z * z - 1) / 6
    odd = z + kurtosis * (z**3 - 3 * z) / 24 - skewness**2 * (2 * z**3 - 5 * z) / 36
    error = math.sqrt(variance / n)
    low, high = mean + error * (even - odd), mean + error * (even + odd)
    return Interval(max(low, min(values)), min(high, max(values)))


def paired_difference(a: Sequence[float], b: Sequence[float]) -> PairedDifference:
    """How much better `b` is than `a`, pair by pair, with Student's t interval of the mean.

    Raises ValueError when the lengths differ. Fewer than two pairs: an infinite interval.
    Source: "Student", Biometrika 6 (1908) 1-25.
    """
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} values cannot be paired")
    n = len(a)
    if n == 0:
        return PairedDifference(0, 0.0, 0.0, 0.0, -math.inf, math.inf, 0, 0, 0)
    differences = [y - x for x, y in zip(a, b, strict=True)]
    mean = fmean(differences)
    half = t_quantile(n - 1) * stdev(differences) / math.sqrt(n) if n > 1 else math.inf
    wins = sum(d > 0 for d in differences)
    losses = sum(d < 0 for d in differences)
    return PairedDifference(
        n, fmean(a), fmean(b), mean, mean - half, mean + half, wins, n - wins - losses, losses
    )


def pairs_to_decide(result: PairedDifference) -> int | None:
    """How many more pairs would put the interval on one side of zero, were difference and spread
    to stay as they are; 0 when it is there already, None when that cannot be said (a difference of
    nothing, fewer than two pairs).

    Source: the usual sample size of a paired t-test, J. Cohen (1988), ch. 2, at power one half.
    """
    if result.n < 2 or result.difference == 0:
        return None
    half = (result.high - result.low) / 2
    deviation = half * math.sqrt(result.n) / t_quantile(result.n - 1)
    wanted = result.n
    while t_quantile(wanted - 1) * deviation / math.sqrt(wanted) >= abs(result.difference):
        # The normal quantile is smaller than t: this never steps over the answer.
        floor = math.ceil((Z95 * deviation / result.difference) ** 2)
        wanted = max(wanted + 1, floor)
        if wanted > MAX_PAIRS:
            return None
    return wanted - result.n


def crafter_score(rates: Iterable[float]) -> float:
    """Crafter's score in percent: exp(mean(ln(1 + rate in percent))) - 1. No rates: 0.

    rates: success rate (0-1) of each of the task's achievements, those never reached included.
    Source: D. Hafner, "Benchmarking the Spectrum of Agent Capabilities", arXiv:2109.06780, 3.3.
    """
    logs = [math.log1p(100 * rate) for rate in rates]
    return math.expm1(fmean(logs)) if logs else 0.0


def achievement_rates(episodes: Sequence[Collection[str]], names: Sequence[str]) -> dict[str, Rate]:
    """For each name: in how many episodes it was unlocked. episodes: what each one unlocked."""
    n = len(episodes)
    return {name: success_rate(sum(name in done for done in episodes), n) for name in names}


def achievement_differences(
    a: Sequence[Collection[str]], b: Sequence[Collection[str]], names: Sequence[str]
) -> dict[str, PairedDifference]:
    """For each name the paired difference of success (0 or 1), `b - a`."""
    return {
        name: paired_difference([name in done for done in a], [name in done for done in b])
        for name in names
    }


def as_dict(row: NamedTuple) -> dict[str, float]:
    """A figure for JSON: infinite bounds become None there."""
    values: Mapping[str, float] = row._asdict()
    return {key: value if math.isfinite(value) else None for key, value in values.items()}  # type: ignore[misc]


@lru_cache(maxsize=4096)
def t_quantile(df: int) -> float:
    """The 97.5 % quantile of Student's t with `df` >= 1 degrees of freedom, to 1e-9.

    By bisection on the distribution function, whose closed form for whole df is
    Abramowitz & Stegun (1964) 26.7.3-4; the normal quantile's expansion 26.7.5 from df 1000 on.
    """
    if df < 1:
        raise ValueError(f"{df} degrees of freedom")
    if df >= 1000:
        z = Z95
        return z + (z**3 + z) / (4 * df) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df * df)
    low, high = 1.0, 13.0
    while high - low > 1e-10:
        middle = (low + high) / 2
        low, high = (middle, high) if _t_central(middle, df) < 0.95 else (low, middle)
    return (low + high) / 2


def _t_central(t: float, df: int) -> float:
    """P(-t < T < t) for Student's t with whole `df`."""
    angle = math.atan(t / math.sqrt(df))
    sine, cosine = math.sin(angle), math.cos(angle)
    term = total = cosine if df % 2 else 1.0
    for k in range(3 if df % 2 else 2, df - 1, 2):
        term *= (k - 1) / k * cosine * cosine
        total += term
    if df % 2 == 0:
        return sine * total
    return 2 / math.pi * (angle + (sine * total if df > 1 else 0.0))


def _quantile(ordered: Sequence[float], q: float) -> float:
    """Linear interpolation between order statistics."""
    position = q * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
