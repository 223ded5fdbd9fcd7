"""Lists of episodes and the page of one: rows ready to show, from the database alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from apps.accounts.errors import Refused, not_found
from apps.accounts.models import Project
from apps.runs.models import Run
from apps.runs.paging import Page, check_limit, decode_cursor, take_page
from apps.traces.models import Episode, Label, Unlock

# What a list may be sorted by; the id settles ties, so pages never repeat or skip.
ORDERS = {
    "-id": ("id", True),
    "id": ("id", False),
    "-n_achievements": ("n_achievements", True),
    "n_achievements": ("n_achievements", False),
    "-episode_return": ("episode_return", True),
    "episode_return": ("episode_return", False),
}
SOLVABLE = ("math",)  # tasks with an answer: an outcome reward of 1 or more is right
MAX_CHOSEN = 500  # episodes that are chosen one by one


@dataclass(frozen=True)
class EpisodeQuery:
    """What a list of episodes is narrowed to; None and "" mean any."""

    run: int | None = None
    model: str | None = None
    policy: str | None = None
    task: str | None = None
    seed: int | None = None
    min_unique: int | None = None
    max_unique: int | None = None
    min_return: float | None = None
    max_return: float | None = None
    achievement: str | None = None  # unlocked in the episode
    missing: str | None = None  # not unlocked in it
    ended: str | None = None
    failed_calls: bool | None = None  # whether it has any
    verified: bool | None = None
    label: str | None = None
    solved: bool | None = None  # of tasks whose episodes are right or wrong, see SOLVABLE


class EpisodeRow(NamedTuple):
    """One line of a list."""

    episode: Episode
    achievements: list[str]  # in order of unlocking
    labels: list[str]


class EpisodeDetail(NamedTuple):
    """The page of an episode, without its payload."""

    episode: Episode
    achievements: list[str]
    labels: list[Label]
    unlocks: list[Unlock]


def list_episodes(
    *,
    project: Project,
    query: EpisodeQuery | None = None,
    order: str = "-id",
    cursor: str | None = None,
    limit: int = 50,
    **narrow: Any,
) -> Page[EpisodeRow]:
    """A page of the project's episodes; filters as fields of EpisodeQuery, in it or by name.

    Four queries; a page reads its own rows, however many there are. Raises Refused(422) for an
    unknown order or a bad cursor.
    """
    if order not in ORDERS:
        raise Refused(
            "bad_order", f"Sort by one of {', '.join(ORDERS)}; got {order!r}.", status=422
        )
    rows = narrow_episodes(project, query or EpisodeQuery(**narrow))
    rows = _behind(rows, order, cursor)
    limit = check_limit(limit)
    found = list(rows.prefetch_related("run").defer("error")[: limit + 1])
    field = ORDERS[order][0]
    page = take_page(found, limit, lambda row: (getattr(row, field), row.pk), lambda row: row)
    return Page(_with_words(page.items), page.next)


def find_game(project: Project, run_id: int, game: tuple[int, int, int]) -> Episode | None:
    """The stored episode of a run's game (seed, repeat, policy version); None until it is there."""
    seed, repeat, version = game
    rows = Episode.objects.filter(run=run_id, run__project=project, seed=seed, repeat=repeat)
    return rows.filter(policy_version=version).first()


def get_episode(*, project: Project, episode_id: int) -> EpisodeDetail:
    """An episode of this project. Raises Refused(404)."""
    rows = Episode.objects.select_related("run", "run__config")
    episode = rows.filter(pk=episode_id, run__project=project).first()
    if episode is None:
        raise not_found("trace", episode_id)
    unlocks = list(episode.unlocks.order_by("step", "id"))
    return EpisodeDetail(
        episode,
        [unlock.name for unlock in unlocks],
        list(episode.labels.order_by("name")),
        unlocks,
    )


def list_labels(*, project: Project) -> list[str]:
    """The words used on episodes of this project, for the filter."""
    rows = Label.objects.filter(episode__run__project=project).order_by("name")
    return list(rows.values_list("name", flat=True).distinct()[:200])


def find_episodes(*, project: Project, ids: Sequence[int]) -> list[Episode]:
    """These episodes of this project, by id. Raises Refused: 422 for none or too many, 404."""
    wanted = sorted(set(ids))
    if not 1 <= len(wanted) <= MAX_CHOSEN:
        message = f"Choose 1 to {MAX_CHOSEN} games; got {len(wanted)}."
        raise Refused("bad_choice", message, "Tick the boxes of some rows.", status=422)
    found = list(Episode.objects.filter(pk__in=wanted, run__project=project).order_by("id"))
    if len(found) < len(wanted):
        raise not_found("trace", next(iter(set(wanted) - {row.pk for row in found})))
    return found


def narrow_episodes(project: Project, query: EpisodeQuery) -> QuerySet[Episode]:
    """The project's episodes that a query means, in no order."""
    # As a condition on each row: by a join or a list of runs, SQLite would visit and sort all
    # episodes of the project instead of walking the order's index.
    own = Exists(Run.objects.filter(pk=OuterRef("run_id"), project=project))
    rows = Episode.objects.filter(own)
    if query.run is not None:
        rows = rows.filter(run=query.run)
    exact = {
        name: getattr(query, name)
        for name in ("model", "policy", "task", "seed", "ended", "verified")
        if getattr(query, name) not in (None, "")
    }
    rows = rows.filter(**exact)
    for field, low, high in (
        ("n_achievements", query.min_unique, query.max_unique),
        ("episode_return", query.min_return, query.max_return),
    ):
        if low is not None:
            rows = rows.filter(**{f"{field}__gte": low})
        if high is not None:
            rows = rows.filter(**{f"{field}__lte": high})
    if query.solved is not None:
        solved = Q(outcome_reward__gte=1.0)
        rows = rows.filter(task__in=SOLVABLE).filter(solved if query.solved else ~solved)
    if query.failed_calls is not None:
        rows = (
            rows.filter(n_failed_calls__gt=0)
            if query.failed_calls
            else rows.filter(n_failed_calls=0)
        )
    return _with_words_in(rows, query)


def _with_words_in(rows: QuerySet[Episode], query: EpisodeQuery) -> QuerySet[Episode]:
    """Narrow by what stands in rows of its own: unlocks and labels."""
    unlock = Unlock.objects.filter(episode=OuterRef("pk"))
    if query.achievement:
        rows = rows.filter(Exists(unlock.filter(name=query.achievement)))
    if query.missing:
        rows = rows.filter(~Exists(unlock.filter(name=query.missing)))
    if query.label:
        rows = rows.filter(Exists(Label.objects.filter(episode=OuterRef("pk"), name=query.label)))
    return rows


def _behind(rows: QuerySet[Episode], order: str, cursor: str | None) -> QuerySet[Episode]:
    """Sorted, and only what stands behind the cursor."""
    field, down = ORDERS[order]
    keys = [field] if field == "id" else [field, "id"]
    rows = rows.order_by(*(F(key).desc() if down else F(key).asc() for key in keys))
    behind = decode_cursor(cursor, float, int)
    if behind is None:
        return rows
    value, last = behind
    compare = "lt" if down else "gt"
    if field == "id":
        return rows.filter(**{f"id__{compare}": last})
    # The first condition says nothing new: it lets the database enter the index at the cursor.
    return rows.filter(**{f"{field}__{compare}e": value}).filter(
        Q(**{f"{field}__{compare}": value}) | Q(**{field: value, f"id__{compare}": last})
    )


def _with_words(episodes: list[Episode]) -> list[EpisodeRow]:
    """Achievements and labels of a page: one query each."""
    ids = [episode.pk for episode in episodes]
    names: dict[int, list[str]] = {pk: [] for pk in ids}
    labels: dict[int, list[str]] = {pk: [] for pk in ids}
    unlocks = Unlock.objects.filter(episode__in=ids).order_by("step", "id")
    for episode_id, name in unlocks.values_list("episode_id", "name"):
        names[episode_id].append(name)
    rows = Label.objects.filter(episode__in=ids).order_by("name")
    for episode_id, name in rows.values_list("episode_id", "name"):
        labels[episode_id].append(name)
    return [EpisodeRow(episode, names[episode.pk], labels[episode.pk]) for episode in episodes]
