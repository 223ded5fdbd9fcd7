"""What the games of a run earned: a histogram, and for GRPO the groups of an iteration."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from statistics import mean, pstdev
from typing import NamedTuple

from apps.runs.models import Run
from apps.traces.models import Episode

MOST_VALUES = 24  # so many different returns get a bar each
BINS = 16
MOST_GAMES = 50_000  # the newest that are counted


class Bin(NamedTuple):
    """Games with a return from `low` to `high`, both included."""

    low: float
    high: float
    n: int
    words: str


class Game(NamedTuple):
    """A game of a group; `advantage` is its return against the mean of the group."""

    episode_id: int
    repeat: int
    reward: float
    advantage: float


class Group(NamedTuple):
    """Games of one world by one version of the policy. A dead one teaches nothing."""

    seed: int
    games: list[Game]
    mean: float
    spread: float | None  # standard deviation of the returns; None: only one game is kept
    dead: bool


class Iteration(NamedTuple):
    """The groups of one version of the policy, widest spread first, and its neighbours."""

    version: int
    n_versions: int
    groups: list[Group]
    n_dead: int
    n_single: int  # groups of which one game is kept: nothing to compare
    before: int | None
    after: int | None


def reward_bins(run: Run) -> list[Bin]:
    """How often each return was reached; whole returns a bar each, others in equal bins."""
    rows = Episode.objects.filter(run=run, broken=False).order_by("-id")
    values = list(rows.values_list("episode_return", flat=True)[:MOST_GAMES])
    counts = Counter(values)
    if not counts:
        return []
    low, high = min(counts), max(counts)
    whole = all(value == int(value) for value in counts)
    if whole and high - low < MOST_VALUES:
        steps = range(int(low), int(high) + 1)
        return [Bin(step, step, counts[step], f"{step}") for step in steps]
    if len(counts) <= MOST_VALUES:
        return [Bin(value, value, n, f"{value:g}") for value, n in sorted(counts.items())]
    return _equal_bins(values, low, high)


def _equal_bins(values: list[float], low: float, high: float) -> list[Bin]:
    edges = [low + (high - low) * i / BINS for i in range(BINS)] + [math.nextafter(high, math.inf)]
    places: Counter[int] = Counter()
    for value in values:
        place = min(BINS - 1, int((value - low) / (high - low) * BINS))
        while value < edges[place]:  # rounding: the edges decide
            place -= 1
        while value >= edges[place + 1]:
            place += 1
        places[place] += 1
    return [
        Bin(a, math.nextafter(b, -math.inf), places[i], f"{a:.3g} to {b:.3g}")
        for i, (a, b) in enumerate(pairwise(edges))
    ]


def grpo_iteration(run: Run, version: int | None = None) -> Iteration | None:
    """The groups of one iteration, the newest by default; None while no game has ended.

    Groups are games of one world and policy version, as many as the run keeps
    (`rollout.stored_per_group`); the spread is that of
    their whole returns. (A run that gives credit turn by turn trains on finer advantages.)
    """
    rows = Episode.objects.filter(run=run, broken=False)
    versions = sorted(rows.values_list("policy_version", flat=True).distinct())
    if not versions:
        return None
    version = versions[-1] if version is None or version not in versions else version
    worlds: dict[int, list[tuple[int, int, float]]] = {}
    played = rows.filter(policy_version=version).order_by("seed", "repeat")
    for seed, pk, repeat, reward in played.values_list("seed", "id", "repeat", "episode_return"):
        worlds.setdefault(seed, []).append((pk, repeat, reward))
    groups = sorted((_group(*world) for world in worlds.items()), key=lambda g: -(g.spread or 0.0))
    place = versions.index(version)
    return Iteration(
        version,
        len(versions),
        groups,
        sum(group.dead for group in groups),
        sum(group.spread is None for group in groups),
        versions[place - 1] if place else None,
        versions[place + 1] if place + 1 < len(versions) else None,
    )


def _group(seed: int, games: list[tuple[int, int, float]]) -> Group:
    rewards = [reward for _, _, reward in games]
    middle = mean(rewards)
    rows = [Game(pk, repeat, reward, reward - middle) for pk, repeat, reward in games]
    if len(rewards) == 1:
        return Group(seed, rows, middle, None, dead=False)
    return Group(seed, rows, middle, pstdev(rewards), len(set(rewards)) == 1)
