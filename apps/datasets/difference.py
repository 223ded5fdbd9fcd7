"""Two datasets held against each other: records and games that came and went. Reads only."""

from __future__ import annotations

import json
from collections import Counter
from typing import NamedTuple

from apps.accounts.errors import Refused
from apps.accounts.models import Project
from apps.datasets.models import Dataset, DatasetEpisode
from apps.datasets.queries import find_dataset, iter_lines
from apps.datasets.records import Record

MOST_BYTES = 256 * 1024 * 1024  # of each; 70 MB against 16 MB take 0.6 s
SHOWN = 3
World = tuple[str, str, int]


class Difference(NamedTuple):
    """From `old` to `new`. Records are counted unless a file is too large: then None."""

    old: Dataset
    new: Dataset
    n_added: int | None
    n_removed: int | None
    n_kept: int | None
    added: list[Record]  # the first few, as are `removed`
    removed: list[Record]
    n_worlds_added: int
    n_worlds_removed: int
    n_worlds_kept: int


def find_sides(
    *, project: Project, dataset_id: int, other_id: int | None
) -> tuple[Dataset, Dataset]:
    """The datasets to compare, old and new: `other_id`, else the version before, and this one.

    Raises Refused: 404 where one is not there, 422 for a first version without another.
    """
    new = find_dataset(project=project, dataset_id=dataset_id)
    chosen = other_id or new.parent_id
    if chosen is None:
        raise Refused(
            "nothing_before",
            f"{new.name} has no version before {new.version}.",
            "Say with ?from=NUMBER which dataset to hold it against.",
            status=422,
        )
    return find_dataset(project=project, dataset_id=chosen), new


def compare_datasets(*, old: Dataset, new: Dataset) -> Difference:
    """What a record is: its whole line. Raises StorageError when a file is missing or damaged."""
    before, after = _worlds(old), _worlds(new)
    games = (len(after - before), len(before - after), len(after & before))
    if max(old.size_bytes, new.size_bytes) > MOST_BYTES:
        return Difference(old, new, None, None, None, [], [], *games)
    had, has = _count(old), _count(new)
    added, removed = has - had, had - has
    return Difference(
        old,
        new,
        added.total(),
        removed.total(),
        (has & had).total(),
        _first(new, added),
        _first(old, removed),
        *games,
    )


def _worlds(dataset: Dataset) -> set[World]:
    rows = DatasetEpisode.objects.filter(dataset=dataset)
    return set(rows.values_list("task", "world_version", "seed"))


def _count(dataset: Dataset) -> Counter[int]:
    return Counter(map(hash, iter_lines(dataset)))  # 64 bits: two lines in millions do not meet


def _first(dataset: Dataset, wanted: Counter[int]) -> list[Record]:
    """The first records of the dataset that are among the wanted ones."""
    found: list[Record] = []
    if not wanted:
        return found
    for line in iter_lines(dataset):
        if hash(line) in wanted:
            found.append(json.loads(line))
            if len(found) == SHOWN:
                break
    return found
