"""All reads of datasets: lists, records, export, leak check, lineage."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from django.db.models import QuerySet

from apps.accounts.errors import Refused, not_found
from apps.accounts.models import Project
from apps.checkpoints.models import Checkpoint
from apps.checkpoints.seeds import SeedRanges, ranges_of, seen_seeds
from apps.datasets.models import Dataset, DatasetEpisode
from apps.datasets.records import FORMATS, Record, dump_record
from apps.runs import storage
from apps.runs.models import Run, RunInput, RunState, Shard
from apps.runs.paging import Page, check_limit, decode_cursor, take_page
from apps.traces.models import Episode
from engine.errors import StorageError
from engine.tasks import world_of

MAX_SHOWN_SEEDS = 20
SHOWN = 6  # games of a lineage
GZIP_MAGIC = b"\x1f\x8b"
READ_BYTES = 2**18


class Leak(NamedTuple):
    """An eval that plays on worlds which the data holds."""

    run_id: int
    run_name: str
    n_seeds: int
    seeds: list[int]  # the first of them


class DatasetDetail(NamedTuple):
    """The page of a dataset."""

    dataset: Dataset
    versions: list[Dataset]  # of the same name, newest first
    runs: list[Run]  # that were trained on it
    leaks: list[Leak]


class Lineage(NamedTuple):
    """What a checkpoint learned from and what became of it."""

    run: Run | None
    datasets: list[Dataset]
    n_episodes: int  # games in those datasets, or that a reward training played
    games: list[Episode]  # some of them: those that gave most records, or the best rewarded
    source_runs: list[Run]  # the runs that played them
    ancestors: list[Checkpoint]
    evals: list[Run]


def list_datasets(
    *, project: Project, name: str | None = None, cursor: str | None = None, limit: int = 50
) -> Page[Dataset]:
    """A page of the project's datasets, newest first; all versions of `name` with it."""
    rows = Dataset.objects.filter(project=project).select_related("run", "created_by")
    if name:
        rows = rows.filter(name=name)
    behind = decode_cursor(cursor, int)
    if behind:
        rows = rows.filter(pk__lt=behind[0])
    limit = check_limit(limit)
    found = list(rows.order_by("-id")[: limit + 1])
    return take_page(found, limit, lambda row: (row.pk,), lambda row: row)


def find_dataset(*, project: Project, dataset_id: int) -> Dataset:
    """A dataset of this project. Raises Refused(404)."""
    rows = Dataset.objects.filter(project=project).select_related("run", "created_by", "parent")
    dataset = rows.filter(pk=dataset_id).first()
    if dataset is None:
        raise not_found("dataset", dataset_id)
    return dataset


def get_dataset(*, project: Project, dataset_id: int) -> DatasetDetail:
    """A dataset of this project with what its page shows. Raises Refused(404)."""
    dataset = find_dataset(project=project, dataset_id=dataset_id)
    return DatasetDetail(dataset, versions_of(dataset), runs_using(dataset), leak_check(dataset))


def versions_of(dataset: Dataset) -> list[Dataset]:
    """All of the same name, newest first."""
    rows = Dataset.objects.filter(project=dataset.project_id, name=dataset.name)
    return list(rows.order_by("-version")[:100])


def runs_using(dataset: Dataset) -> list[Run]:
    """The runs that took it in, newest first."""
    used = RunInput.objects.filter(kind="dataset", object_id=dataset.pk).values("run_id")
    return list(Run.objects.filter(project=dataset.project_id, pk__in=used).order_by("-id")[:100])


def datasets_of_run(run: Run) -> list[Dataset]:
    """The datasets that a run took in, oldest first."""
    inputs = RunInput.objects.filter(run=run, kind="dataset")
    return list(Dataset.objects.filter(pk__in=inputs.values("object_id")).order_by("id"))


def iter_lines(dataset: Dataset) -> Iterator[bytes]:
    """The stored lines, one by one, without their newlines; O(1) memory.

    Raises StorageError when the file is missing or damaged.
    """
    source = _Readable(storage.open_stream(dataset.storage_key))
    try:
        packed = source.peek_start() == GZIP_MAGIC
        raw = gzip.GzipFile(fileobj=source) if packed else source
        with io.BufferedReader(raw, READ_BYTES) as lines:  # gzip's own readline is Python
            for line in lines:
                yield line.rstrip(b"\n")
    except (OSError, EOFError, zlib.error) as err:
        raise StorageError(
            f"The file of dataset {dataset.pk} is damaged: {err}", retryable=False
        ) from err


def read_records(dataset: Dataset, *, first: int = 0, n: int = 20) -> list[Record]:
    """Records `first` … `first + n` as objects, for pages."""
    return [json.loads(line) for line in islice(iter_lines(dataset), first, first + n)]


def export(dataset: Dataset, *, format: str = "trl") -> Iterator[bytes]:
    """The dataset as JSONL, streamed. Raises Refused(422) at once for an unknown format."""
    if format not in FORMATS:
        raise Refused(
            "bad_format", f"Formats are {', '.join(FORMATS)}; got {format!r}.", status=422
        )
    convert = FORMATS[format]
    return (dump_record(convert(json.loads(line))) for line in iter_lines(dataset))


def leak_check(dataset: Dataset) -> list[Leak]:
    """The project's evals that play on worlds of this dataset; it should be empty."""
    rows = DatasetEpisode.objects.filter(dataset=dataset)
    worlds = rows.values_list("task", "world_version", "seed").distinct()
    return find_leaks(project=dataset.project, worlds=worlds)


def find_leaks(*, project: Project, worlds: Iterable[tuple[str, str, int]]) -> list[Leak]:
    """Evals that play `worlds` (task, world version, seed), newest first. Two queries."""
    ranges = ranges_of(worlds)
    evals = Run.objects.filter(project=project, kind="eval", task__in={row[0] for row in ranges})
    evals = evals.exclude(state=RunState.DRAFT).order_by("-id")
    evals = evals.only("id", "name", "task", "resolved")
    runs = {run.pk: run for run in evals}
    versions = {run.pk: world_of(run.task, run.resolved) for run in runs.values()}
    shared: dict[int, set[int]] = {}
    shards = Shard.objects.filter(run__in=evals.values("pk")).values_list("run_id", "episodes")
    for run_id, episodes in shards.iterator():
        if run_id in runs:
            played = (int(episode["seed"]) for episode in episodes)
            seen = seen_seeds(ranges, runs[run_id].task, versions[run_id], played)
            shared.setdefault(run_id, set()).update(seen)
    return [
        Leak(run_id, run.name, len(found), sorted(found)[:MAX_SHOWN_SEEDS])
        for run_id, run in runs.items()
        if (found := shared.get(run_id))
    ]


def count_worlds(dataset: Dataset) -> int:
    """How many different worlds the dataset holds games of."""
    rows = DatasetEpisode.objects.filter(dataset=dataset)
    return rows.values("task", "world_version", "seed").distinct().count()


def seeds_of(dataset: Dataset) -> SeedRanges:
    """Every world that the dataset holds games of."""
    rows = DatasetEpisode.objects.filter(dataset=dataset)
    return ranges_of(rows.values_list("task", "world_version", "seed"))


def seeds_of_run(run: Run) -> SeedRanges:
    """The worlds in the data that a run was trained on (validation data trains nothing)."""
    data = run.inputs.get("data")
    if not isinstance(data, dict) or "dataset_id" not in data:
        return []
    dataset = Dataset.objects.filter(project=run.project_id, pk=data["dataset_id"]).first()
    return seeds_of(dataset) if dataset else []


def lineage(checkpoint: Checkpoint) -> Lineage:
    """From the games to the evals, through everything between. Eight queries at most."""
    from apps.checkpoints.queries import ancestors_of

    datasets = datasets_of_run(checkpoint.run) if checkpoint.run else []
    games = DatasetEpisode.objects.filter(dataset__in=datasets)
    played = games.exclude(episode=None).values("episode__run_id").distinct()
    own = Episode.objects.filter(run=checkpoint.run) if not datasets and checkpoint.run else None
    evals = Run.objects.filter(
        project=checkpoint.project_id, kind="eval", model=checkpoint.model_id
    ).order_by("-id")
    return Lineage(
        checkpoint.run,
        datasets,
        games.count() if own is None else own.count(),
        _most_used(games) if own is None else _best(own),
        list(Run.objects.filter(pk__in=played).order_by("id")[:100]),
        ancestors_of(checkpoint),
        list(evals[:50]),
    )


def _best(games: QuerySet[Episode]) -> list[Episode]:
    return list(games.order_by("-n_achievements", "-id")[:SHOWN])


def _most_used(games: QuerySet[DatasetEpisode]) -> list[Episode]:
    """The games that gave most records, each once."""
    rows = games.exclude(episode=None).select_related("episode").order_by("-n_records", "id")
    found = {row.episode_id: row.episode for row in rows[: 2 * SHOWN] if row.episode}
    return list(found.values())[:SHOWN]


class _Readable(io.RawIOBase):
    """Pieces of bytes as a file, for gzip and for lines."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def peek_start(self) -> bytes:
        """The first two bytes, left in place; only before anything was read."""
        while len(self._rest) < 2:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._rest += piece
        return self._rest[:2]

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = next(self._pieces, b"")
        n = min(len(buffer), len(self._rest))
        buffer[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n
