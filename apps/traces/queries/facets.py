"""What a list of episodes is made of: how many end so, come from this model, unlocked that.

Counted over the newest of them only, so that the cost has a bound however many there are.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from django.db.models import Count

from apps.accounts.models import Project
from apps.traces.models import Unlock
from apps.traces.queries.episodes import SOLVABLE, EpisodeQuery, narrow_episodes

MOST_GAMES = 2000
MOST_VALUES = 8  # of one facet, the most frequent first


class FacetValue(NamedTuple):
    """One value and how many of the games have it."""

    value: str
    n: int


class UnlockFacet(NamedTuple):
    """An achievement: in how many games it was unlocked, in how many not."""

    name: str
    n_unlocked: int
    n_missing: int


class Facets(NamedTuple):
    """`n_games` were counted; `cut`: there are more, older ones."""

    n_games: int
    cut: bool
    tasks: list[FacetValue]
    solved: list[FacetValue]  # yes and no
    ended: list[FacetValue]
    models: list[FacetValue]
    achievements: list[UnlockFacet]  # the most frequent first


def count_facets(*, project: Project, query: EpisodeQuery) -> Facets:
    """Count the newest MOST_GAMES episodes that the query means. Two queries."""
    rows = narrow_episodes(project, query).order_by("-id")
    values = rows.values_list("pk", "task", "ended", "model", "outcome_reward")
    found = list(values[: MOST_GAMES + 1])
    games = found[:MOST_GAMES]
    solved = Counter(
        "yes" if reward >= 1 else "no" for _, task, _, _, reward in games if task in SOLVABLE
    )
    crafted = [pk for pk, task, *_ in games if task not in SOLVABLE]
    return Facets(
        len(games),
        len(found) > MOST_GAMES,
        _most(Counter(game[1] for game in games)),
        _most(solved),
        _most(Counter(game[2] for game in games)),
        _most(Counter(game[3] for game in games if game[3])),
        _unlocks(crafted),
    )


def _unlocks(ids: list[int]) -> list[UnlockFacet]:
    rows = Unlock.objects.filter(episode__in=ids).values_list("name").annotate(n=Count("id"))
    return [UnlockFacet(name, n, len(ids) - n) for name, n in rows.order_by("-n", "name")[:40]]


def _most(counter: Counter[str]) -> list[FacetValue]:
    return [FacetValue(value, n) for value, n in counter.most_common(MOST_VALUES)]
