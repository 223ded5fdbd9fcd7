"""Runs against the first of them, world by world: pairs share task, world version, seed, repeat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from apps.accounts.errors import Refused, not_found
from apps.accounts.models import Project
from apps.runs.models import Run
from apps.traces.models import Episode, Unlock
from apps.traces.queries.scores import achievement_names, unlocks_of
from engine.rollout.scores import (
    PairedDifference,
    achievement_differences,
    as_dict,
    paired_difference,
    pairs_to_decide,
)
from engine.tasks import has_achievements

MAX_RUNS = 10
_LOOK = (
    "Run {} still plays, so this is a look in between. Who watches an interval until it excludes 0 "
    "is wrong more often than 5 times in 100: decide when all games are in."
)
WORLD_WORDS = {"achievements": "world", "accuracy": "problem"}  # what one pair has played
PairKey = tuple[str, str, int, int]


class Played(NamedTuple):
    """A scored episode, as the comparison needs it."""

    episode_id: int
    n_achievements: int
    outcome: float
    episode_return: float
    unlocked: frozenset[str]


class Comparison(NamedTuple):
    """`pairs`: one dictionary for every run after the first; `notes`: leaks and early looks, in
    words; `settings`: dotted keys of the frozen configs that differ, with the value of each run."""

    runs: list[Run]
    pairs: list[dict[str, Any]]
    notes: list[str]
    settings: dict[str, list[Any]]


def compare_runs(*, project: Project, run_ids: Sequence[int]) -> Comparison:
    """Each run against the first on the worlds that both played, by what their task is scored by.

    A pair: a, b (run ids), measure (achievements: a mean, or accuracy: a rate), n, mean_a, mean_b,
    difference (b - a), ci95 [low, high], wins, ties, losses, verdict (a sentence),
    per_achievement {name: {difference, ci95, rate_a, rate_b, n}},
    more_worlds (how many more would decide it; 0: it is decided, None: nobody knows),
    games [{seed, repeat, a, b, unique_a, unique_b, score_a, score_b}] linking both, and notes.
    Broken episodes and worlds of different versions are never paired. Raises Refused(404 | 422).
    """
    ids = list(dict.fromkeys(run_ids))
    if not 2 <= len(ids) <= MAX_RUNS:
        raise Refused("bad_runs", f"Compare 2 to {MAX_RUNS} different runs.", status=422)
    found = Run.objects.filter(project=project).in_bulk(ids)
    for run_id in ids:
        if run_id not in found:
            raise not_found("run", run_id)
    runs = [found[run_id] for run_id in ids]
    played = _played(ids)
    pairs = [_compare(runs[0], run, played[ids[0]], played[run.pk]) for run in runs[1:]]
    leaks = [
        f"Run {run.pk}: its model was trained on {len(run.leaked_seeds)} of these worlds."
        for run in runs
        if run.leaked_seeds
    ]
    looks = [_LOOK.format(run.pk) for run in runs if run.ended_at is None]
    return Comparison(runs, pairs, leaks + looks, config_difference(runs))


def config_difference(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """The dotted keys in which frozen configs differ, with the value of each run (None: absent)."""
    flat = [_flat(run.resolved) for run in runs]
    keys = sorted(set().union(*flat))
    values = {key: [config.get(key) for config in flat] for key in keys}
    return {key: row for key, row in values.items() if any(value != row[0] for value in row)}


def _flat(config: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(config, dict) or not config:
        return {prefix[:-1]: config} if prefix else {}
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= _flat(value, f"{prefix}{key}.")
    return found


def _played(run_ids: Sequence[int]) -> dict[int, dict[PairKey, Played]]:
    """Each run's scored episodes by world. With several policy versions the newest counts."""
    unlocked = unlocks_of(Unlock.objects.filter(episode__run__in=run_ids))
    rows = Episode.objects.filter(run__in=run_ids, broken=False).order_by("policy_version")
    world = ("run_id", "task", "world_version", "seed", "repeat")
    figures = ("pk", "n_achievements", "outcome_reward", "episode_return")
    played: dict[int, dict[PairKey, Played]] = {run_id: {} for run_id in run_ids}
    for run_id, *key, pk, unique, outcome, total in rows.values_list(*world, *figures):
        game = Played(pk, unique, outcome, total, frozenset(unlocked.get(pk, ())))
        played[run_id][tuple(key)] = game
    return played


def _compare(
    a: Run, b: Run, games_a: dict[PairKey, Played], games_b: dict[PairKey, Played]
) -> dict[str, Any]:
    shared = sorted(games_a.keys() & games_b.keys())
    left, right = [games_a[key] for key in shared], [games_b[key] for key in shared]
    measure = "achievements" if has_achievements(a.task) else "accuracy"
    scores_a, scores_b = ([_score(game, measure) for game in games] for games in (left, right))
    result = paired_difference(scores_a, scores_b)
    figures = as_dict(result)
    names = achievement_names(a, (game.unlocked for game in (*left, *right)))  # type: ignore[misc]
    details = achievement_differences(
        [game.unlocked for game in left], [game.unlocked for game in right], names
    )
    return {
        "a": a.pk,
        "b": b.pk,
        "measure": measure,
        **{name: figures[name] for name in ("n", "mean_a", "mean_b", "difference")},
        "ci95": [figures["low"], figures["high"]],
        **{name: figures[name] for name in ("wins", "ties", "losses")},
        "per_achievement": {name: _achievement(row) for name, row in details.items()},
        "verdict": _verdict(a, b, result, measure),
        "more_worlds": pairs_to_decide(result),
        "games": [
            {
                "seed": key[2],
                "repeat": key[3],
                "a": x.episode_id,
                "b": y.episode_id,
                "unique_a": x.n_achievements,
                "unique_b": y.n_achievements,
                "score_a": _score(x, measure),
                "score_b": _score(y, measure),
            }
            for key, x, y in zip(shared, left, right, strict=True)
        ],
        "notes": _left_out(games_a, games_b, len(shared)),
    }


def _score(game: Played, measure: str) -> float:
    return float(game.n_achievements) if measure == "achievements" else game.outcome


def _achievement(row: PairedDifference) -> dict[str, Any]:
    figures = as_dict(row)
    return {
        "n": row.n,
        "rate_a": row.mean_a,
        "rate_b": row.mean_b,
        "difference": row.difference,
        "ci95": [figures["low"], figures["high"]],
    }


def _verdict(a: Run, b: Run, result: PairedDifference, measure: str) -> str:
    """The answer in words; nothing is claimed while the interval holds zero."""
    if result.n == 0:
        return f"Runs {a.pk} and {b.pk} share no {WORLD_WORDS[measure]}, so nothing can be said."
    worlds = f"{result.n} shared {WORLD_WORDS[measure]}{'s' if result.n != 1 else ''}"
    if not math.isfinite(result.low):
        return f"One shared {WORLD_WORDS[measure]} is too few to tell runs {a.pk} and {b.pk} apart."
    half = (result.high - result.low) / 2
    by = f"{abs(result.difference):.2f} ± {half:.2f} achievements on {worlds}"
    if measure == "accuracy":
        points = f"{100 * abs(result.difference):.0f} ± {100 * half:.0f} percentage points"
        by = f"{points} of accuracy on {worlds}"
    if result.low > 0:
        return f"Run {b.pk} is better than run {a.pk} by {by}."
    if result.high < 0:
        return f"Run {b.pk} is worse than run {a.pk} by {by}."
    return f"No difference is proven between runs {a.pk} and {b.pk}: {by} (the interval holds 0)."


def _left_out(a: dict[PairKey, Played], b: dict[PairKey, Played], n_shared: int) -> list[str]:
    """What was not paired, and why."""
    notes = []
    for task in sorted({key[0] for key in a} & {key[0] for key in b}):
        versions_a = {key[1] for key in a if key[0] == task}
        versions_b = {key[1] for key in b if key[0] == task}
        if versions_a != versions_b:
            notes.append(
                f"Worlds of different versions are never paired: {', '.join(sorted(versions_a))} "
                f"against {', '.join(sorted(versions_b))}."
            )
    alone = len(a) + len(b) - 2 * n_shared
    if alone:
        notes.append(f"{alone} episodes have no partner in the other run and do not count.")
    return notes
