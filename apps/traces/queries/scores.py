"""The scores of a run: means, rates and counts over its episodes, with 95 % intervals."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from apps.runs.models import Run
from apps.traces.models import Episode, Unlock
from engine.errors import ConfigError
from engine.rollout.scores import (
    achievement_rates,
    as_dict,
    bootstrap_mean,
    crafter_score,
    success_rate,
)
from engine.tasks import achievements_of, has_achievements

_SUMMED = {
    "failed_calls": "n_failed_calls",
    "turns": "n_turns",
    "steps": "n_steps",
    "prompt_tokens": "prompt_tokens",
    "completion_tokens": "completion_tokens",
    "cost_usd": "cost_usd",
    "duration_s": "duration_s",
}


def run_scores(run: Run) -> dict[str, Any]:
    """The figures of a run's episodes, JSON-ready. Broken episodes are counted, never scored.

    `return`, `outcome`: mean with bootstrap interval. A task with achievements: `unique` (mean),
    `achievements`: rate with Wilson interval of each; `crafter_score` in percent. Another task:
    `accuracy`, the rate of solved episodes, and `answers`, how many ended how. `step_reward`, where
    decisions are rewarded: what they earned in an episode. Two queries.
    """
    episodes = list(Episode.objects.filter(run=run).order_by("id"))
    scored = [episode for episode in episodes if not episode.broken]
    return {
        "n": len(scored),
        "n_episodes": len(episodes),
        "n_broken": len(episodes) - len(scored),
        **(_achievements(run, scored) if has_achievements(run.task) else _accuracy(scored)),
        "return": as_dict(bootstrap_mean([e.episode_return for e in scored])),
        "outcome": as_dict(bootstrap_mean([e.outcome_reward for e in scored])),
        **_step_rewards(run, scored),
        "endings": dict(Counter(episode.ended for episode in episodes)),
        **{
            name: round(sum(getattr(episode, field) for episode in episodes), 6)
            for name, field in _SUMMED.items()
        },
    }


def _achievements(run: Run, scored: Sequence[Episode]) -> dict[str, Any]:
    unlocked = unlocks_of(Unlock.objects.filter(episode__run=run))
    names = achievement_names(run, unlocked.values())
    rates = achievement_rates([unlocked.get(episode.pk, set()) for episode in scored], names)
    return {
        "unique": as_dict(bootstrap_mean([float(e.n_achievements) for e in scored])),
        "crafter_score": round(crafter_score(rate.rate for rate in rates.values()), 4),
        "achievements": {name: as_dict(rate) for name, rate in rates.items()},
    }


def _step_rewards(run: Run, scored: Sequence[Episode]) -> dict[str, Any]:
    """What decisions earned in an episode, where the run's config rewards them."""
    rules = run.resolved.get("step_rewards") or {}
    if not rules.get("enabled") or rules.get("mode") == "off":
        return {}
    mean = as_dict(bootstrap_mean([episode.step_reward for episode in scored]))
    return {"step_reward": {**mean, "strategy": rules.get("strategy", "")}}


def _accuracy(scored: Sequence[Episode]) -> dict[str, Any]:
    n_solved = sum(episode.outcome_reward >= 1 for episode in scored)
    return {
        "accuracy": as_dict(success_rate(n_solved, len(scored))),
        "answers": dict(Counter(episode.ending or episode.ended for episode in scored)),
    }


def unlocks_of(rows: Any) -> dict[int, set[str]]:
    """Episode id -> names of its achievements. `rows`: a queryset of unlocks."""
    names: defaultdict[int, set[str]] = defaultdict(set)
    for episode_id, name in rows.values_list("episode_id", "name"):
        names[episode_id].add(name)
    return dict(names)


def achievement_names(run: Run, seen: Iterable[set[str]]) -> list[str]:
    """All achievements of the run's task in its order, those never unlocked included.

    A finished run keeps them in its result, so a page never loads a game to know its names; a
    task that this version does not know contributes the names that were seen.
    """
    kept = run.result.get("achievements")
    if kept:
        return list(kept)
    try:
        return list(achievements_of(run.task))
    except ConfigError:
        return sorted(set().union(*seen))
