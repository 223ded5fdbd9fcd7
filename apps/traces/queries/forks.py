"""Forks of an episode: their branches beside the original, and what came of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from apps.runs.models import Run
from apps.traces.models import Episode, Unlock
from engine.rollout.scores import PairedDifference, as_dict, paired_difference

MAX_FORKS = 50


@dataclass(frozen=True)
class Branch:
    """One branch, as the picture beside the original needs it. outcome: the task's own score."""

    id: int
    repeat: int
    outcome: float
    n_steps: int
    ended: str
    broken: bool
    unlocks: list[dict[str, Any]] = field(default_factory=list)  # {name, step}, after the fork


@dataclass(frozen=True)
class Fork:
    """One fork run: who went on from which step, its branches, and the mean difference of their
    outcome to the original's (`against_original`) and, branch by branch, to the first fork of the
    same step (`against_first`); both with 95 % intervals, None while there is nothing to compare.
    """

    run_id: int
    state: str
    model: str
    step: int
    n_wanted: int
    branches: list[Branch]
    against_original: dict[str, float] | None
    against_first: dict[str, float] | None = None
    first_run_id: int | None = None
    verdict: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def list_forks(*, episode: Episode) -> list[Fork]:
    """The forks of an episode, by step and then oldest first, at most 50. Four queries."""
    runs = (
        Run.objects.filter(
            project_id=episode.run.project_id, kind="fork", inputs__original__id=episode.pk
        )
        .order_by("id")
        .prefetch_related("shards")[:MAX_FORKS]
    )
    branches = _branches(episode)
    found: list[Fork] = []
    firsts: dict[int, Fork] = {}
    for run in sorted(runs, key=lambda run: (run.inputs["original"]["step"], run.pk)):
        own = branches.get(run.pk, [])
        fork = _fork(episode, run, own, firsts.get(run.inputs["original"]["step"]))
        firsts.setdefault(fork.step, fork)
        found.append(fork)
    return found


def _branches(episode: Episode) -> dict[int, list[Branch]]:
    rows = list(Episode.objects.filter(forked_from=episode).order_by("run_id", "repeat"))
    unlocks: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for unlock in Unlock.objects.filter(episode__in=[row.pk for row in rows]).order_by("step"):
        unlocks[unlock.episode_id].append({"name": unlock.name, "step": unlock.step})
    found: defaultdict[int, list[Branch]] = defaultdict(list)
    for row in rows:
        after = [mark for mark in unlocks[row.pk] if mark["step"] > (row.forked_at_step or 0)]
        found[row.run_id].append(
            Branch(
                row.pk, row.repeat, row.outcome_reward, row.n_steps, row.ended, row.broken, after
            )
        )
    return found


def _fork(episode: Episode, run: Run, branches: list[Branch], first: Fork | None) -> Fork:
    scored = [branch for branch in branches if not branch.broken]
    original = [episode.outcome_reward] * len(scored)
    result = paired_difference(original, [branch.outcome for branch in scored])
    pairs = _pairs(first.branches if first else (), scored)
    against = paired_difference(*pairs) if pairs[0] else None
    return Fork(
        run_id=run.pk,
        state=run.state,
        model=run.model,
        step=run.inputs["original"]["step"],
        n_wanted=sum(len(shard.episodes) for shard in run.shards.all()),
        branches=branches,
        against_original=as_dict(result) if scored else None,
        against_first=as_dict(against) if against else None,
        first_run_id=first.run_id if first else None,
        verdict=_verdict(run, result),
    )


def _pairs(first: Sequence[Branch], scored: Sequence[Branch]) -> tuple[list[float], list[float]]:
    """Outcomes of the branches that both forks have, by branch number."""
    known = {branch.repeat: branch.outcome for branch in first if not branch.broken}
    shared = [branch for branch in scored if branch.repeat in known]
    return [known[branch.repeat] for branch in shared], [branch.outcome for branch in shared]


def _verdict(run: Run, result: PairedDifference) -> str:
    """What the branches say, in words; nothing is claimed while the interval holds zero."""
    if result.n == 0:
        return ""
    by = f"{result.difference:+.2f} on average over {result.n} branch{'es' if result.n > 1 else ''}"
    if result.n == 1:
        return f"{run.model} ended {by}; one branch proves nothing."
    if result.low == result.high:
        return f"{run.model} ended {by}, every time: it decides the same in each branch."
    spread = f"95 % interval {result.low:+.2f} to {result.high:+.2f}"
    if result.low > 0:
        return f"{run.model} does better than the original from here: {by} ({spread})."
    if result.high < 0:
        return f"{run.model} does worse than the original from here: {by} ({spread})."
    return f"No difference is proven: {by} ({spread}, which holds 0)."
