"""Sets of worlds as ranges of seeds: which ones a model has seen, and whether an eval uses them.

The form in rows: `[[task, world_version, [[first, last], …]], …]`, ranges inclusive and sorted. A
world version "" stands for all of them (whoever made the range did not know it). Pure functions.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

SeedRanges = list[list[Any]]


def ranges_of(seeds: Iterable[tuple[str, str, int]]) -> SeedRanges:
    """(task, world version, seed)s as ranges."""
    groups: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for task, version, seed in seeds:
        groups[task, version].add(seed)
    return [
        [task, version, _join([[seed, seed] for seed in sorted(group)])]
        for (task, version), group in sorted(groups.items())
    ]


def merge_ranges(*parts: SeedRanges) -> SeedRanges:
    """The union of several sets of worlds."""
    groups: defaultdict[tuple[str, str], list[list[int]]] = defaultdict(list)
    for task, version, ranges in (row for part in parts for row in part):
        groups[task, version] += ranges
    return [[*key, _join(sorted(ranges))] for key, ranges in sorted(groups.items())]


def seen_seeds(
    ranges: SeedRanges, task: str, world_version: str, seeds: Iterable[int]
) -> list[int]:
    """Those of `seeds` that are in the ranges, sorted. A version "" on either side matches all."""
    known = [
        pairs
        for name, version, pairs in ranges
        if name == task and (not version or not world_version or version == world_version)
    ]
    return sorted(seed for seed in set(seeds) if any(_holds(pairs, seed) for pairs in known))


def _holds(pairs: list[list[int]], seed: int) -> bool:
    """Whether one of the sorted pairs goes from at most `seed` to at least it."""
    index = bisect_right(pairs, seed, key=lambda pair: pair[0]) - 1
    return index >= 0 and seed <= pairs[index][1]


def count_seeds(ranges: SeedRanges) -> int:
    """How many worlds are in the ranges."""
    return sum(high - low + 1 for low, high in _pairs(ranges))


def _pairs(ranges: SeedRanges) -> Iterator[list[int]]:
    for _task, _version, pairs in ranges:
        yield from pairs


def _join(pairs: list[list[int]]) -> list[list[int]]:
    """Sorted pairs with neighbours and overlaps joined."""
    joined: list[list[int]] = []
    for low, high in pairs:
        if joined and low <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], high)
        else:
            joined.append([low, high])
    return joined
