"""Datasets out of played games: preview and creation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models import Count

from apps.accounts.errors import Refused
from apps.accounts.models import Project, User
from apps.datasets.models import Dataset
from apps.datasets.queries import Leak, find_leaks
from apps.datasets.records import Record, dump_record, episode_records, make_curator
from apps.datasets.selection import (
    describe_filter,
    read_filter,
    select_episodes,
)
from apps.datasets.services.writing import LineWriter, World, add_version, line_writer
from apps.datasets.statistics import Statistics
from apps.traces.models import Episode, EpisodeTurn, Unlock
from engine.traces.curation import Curator, led_to, turns_before

if TYPE_CHECKING:
    from engine.config import DatasetFilter

SAMPLE = 3
CHUNK, PREVIEW_CHUNK = 50, 1000  # games at once: with their records, with their figures only
MAX_NAME = 200


class _Game(NamedTuple):
    """What a preview needs of an episode; its row is ten times as large."""

    pk: int
    task: str
    world_version: str
    seed: int
    n_achievements: int
    episode_return: float
    model: str
    policy: str


class Preview(NamedTuple):
    """What a filter would make. `leak`: evals that play on these worlds."""

    n_records: int
    n_episodes: int
    statistics: dict[str, Any]
    sample: list[Record]
    words: str
    leak: list[Leak]


def preview(*, project: Project, filter: Mapping[str, Any]) -> Preview:
    """Count without reading payloads, and show three records. Doubles are counted: nobody looked.

    Raises Refused(422) for a filter that is none. No game may match: then everything is 0.
    """
    wanted = read_filter(filter)
    ids = select_episodes(project=project, wanted=wanted)
    statistics = Statistics()
    worlds: set[tuple[str, str, int]] = set()
    curator = Curator(max_per_achievement=wanted.max_per_achievement)
    for chunk in _batched(ids, PREVIEW_CHUNK):
        taken = _count_records(chunk, wanted, curator)
        names = _achievements(chunk)
        for game in _games(chunk):
            n_records = taken.get(game.pk, 0)
            if not n_records:
                continue
            statistics.add_episode(game, names[game.pk], n_records)
            statistics.n_records += n_records
            worlds.add((game.task, game.world_version, game.seed))
    leaks = find_leaks(project=project, worlds=worlds)
    sample = list(islice(_sample(ids, wanted), SAMPLE))
    found = statistics.to_json()
    return Preview(
        statistics.n_records, statistics.n_episodes, found, sample, describe_filter(wanted), leaks
    )


def create_dataset(
    *, project: Project, user: User | None, name: str, filter: Mapping[str, Any]
) -> Dataset:
    """Make a version of the games that a filter means now.

    Safe to call twice: the same content is the same version. Memory does not grow with the number
    of games. Raises Refused(422) for a bad filter or name, and when nothing matches.
    """
    name = check_name(name)
    wanted = read_filter(filter)
    ids = select_episodes(project=project, wanted=wanted)
    statistics = Statistics()
    worlds: list[World] = []
    curator = make_curator(wanted)
    with line_writer() as writer:
        for chunk in _batched(ids):
            names = _achievements(chunk)
            for episode in _episodes(chunk):
                n_records = _write_game(
                    writer, statistics, episode_records(episode, wanted, curator)
                )
                if n_records:
                    statistics.add_episode(episode, names[episode.pk], n_records)
                    worlds.append(_world(episode, n_records))
        if not statistics.n_records:
            raise _nothing(wanted)
        written = writer.store()
    return add_version(
        project=project,
        name=name,
        written=written,
        worlds=worlds,
        source="filter",
        filter=wanted.model_dump(mode="json", exclude_defaults=True),
        words=describe_filter(wanted),
        statistics=statistics.to_json(),
        n_records=statistics.n_records,
        n_episodes=statistics.n_episodes,
        created_by=user,
    )


def _write_game(writer: LineWriter, statistics: Statistics, records: Iterable[Record]) -> int:
    """Write the records of one game; how many there were."""
    n_records = 0
    for record in records:
        line = dump_record(record)
        writer.write(line)
        statistics.add_record(record, len(line))
        n_records += 1
    return n_records


def check_name(name: str) -> str:
    """A dataset's name as it is stored. Raises Refused(422)."""
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise Refused(
            "bad_name",
            f"A dataset's name has 1 to {MAX_NAME} printable characters.",
            status=422,
            fields={"name": f"1 to {MAX_NAME} characters"},
        )
    return name


def _nothing(wanted: DatasetFilter) -> Refused:
    return Refused(
        "no_match",
        f"No turn matches: {describe_filter(wanted)}",
        "Widen the filter; the preview shows what each part leaves.",
        status=422,
    )


def _batched(ids: list[int], size: int = CHUNK) -> Iterator[list[int]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _episodes(ids: list[int]) -> list[Episode]:
    """The rows in the order of the ids."""
    rows = Episode.objects.in_bulk(ids)
    return [rows[pk] for pk in ids if pk in rows]


def _games(ids: list[int]) -> list[_Game]:
    """Their figures, in the order of the ids."""
    rows = Episode.objects.filter(pk__in=ids).values_list(*_Game._fields)
    found = {row[0]: _Game(*row) for row in rows}
    return [found[pk] for pk in ids if pk in found]


def _achievements(ids: list[int]) -> dict[int, list[str]]:
    names: dict[int, list[str]] = {pk: [] for pk in ids}
    rows = Unlock.objects.filter(episode__in=ids).order_by("step", "id")
    for pk, name in rows.values_list("episode_id", "name"):
        names[pk].append(name)
    return names


def _count_records(ids: list[int], wanted: DatasetFilter, curator: Curator) -> dict[int, int]:
    """Episode id -> how many records it gives, from the small rows of its turns."""
    if wanted.turns_before_unlock is None and wanted.max_per_achievement is None:
        taken = EpisodeTurn.objects.filter(episode__in=ids)
        if wanted.drop_failed_calls:
            taken = taken.filter(error_code="")
        return dict(taken.values_list("episode_id").annotate(n=Count("pk")).order_by())
    turns: dict[int, list[tuple[int, bool, list[str]]]] = {pk: [] for pk in ids}
    rows = EpisodeTurn.objects.filter(episode__in=ids).order_by("index")
    for pk, index, error, unlocked in rows.values_list(
        "episode_id", "index", "error_code", "unlocked"
    ):
        turns[pk].append((index, bool(error), unlocked.split()))
    return {pk: _count(found, wanted, curator) for pk, found in turns.items()}


def _count(
    turns: list[tuple[int, bool, list[str]]], wanted: DatasetFilter, curator: Curator
) -> int:
    unlocks = {index: names for index, _, names in turns if names}
    near: set[int] | None = None
    if wanted.turns_before_unlock is not None:
        near = turns_before(unlocks, wanted.turns_before_unlock)
    return sum(
        curator.keeps(b"", led_to(unlocks, index))
        for index, failed, _ in turns
        if (near is None or index in near) and not (failed and wanted.drop_failed_calls)
    )


def _sample(ids: list[int], wanted: DatasetFilter) -> Iterator[Record]:
    curator = make_curator(wanted)
    for pk in ids[:CHUNK]:
        yield from episode_records(Episode.objects.get(pk=pk), wanted, curator)


def _world(episode: Episode, n_records: int) -> World:
    return World(episode.pk, episode.task, episode.world_version, episode.seed, n_records)
