"""What a run is tied to: the model it plays or starts from, its data, what it made or compares to.

Reads other rooms' queries and joins them for one page; no rule lives here.
"""

from __future__ import annotations

from typing import NamedTuple

from apps.accounts.models import Project
from apps.checkpoints.models import Checkpoint
from apps.checkpoints.queries import CheckpointRow, find_model, list_checkpoints, scores_of, task_of
from apps.datasets.models import Dataset
from apps.datasets.queries import datasets_of_run
from apps.runs.models import Run
from apps.traces.models import Episode

PLAYED = ("eval", "rollout", "rl")
TRAINED = ("sft", "rl", "base", "import_model")
MAKES = ("base", "import_model")  # of nothing that was here before
TRIED = 3  # evals of each model that are looked at for shared worlds


class Relations(NamedTuple):
    """`versus` is two eval runs, the base's and this model's, when both have been played."""

    made: CheckpointRow | None  # by this run
    model: Checkpoint | None  # that it plays or was trained from
    datasets: list[Dataset]
    versus: tuple[int, int] | None
    task: str  # of what it made or plays: names the config that evaluates it


def relations_of(*, project: Project, run: Run) -> Relations:
    """A dozen queries at most, none for what the kind of run cannot have."""
    found = list_checkpoints(project=project, run=run.pk, limit=1) if run.kind in TRAINED else None
    made = found.items[0] if found and found.items else None
    model = find_model(project.pk, run.model) if run.kind not in MAKES and run.model else None
    datasets = datasets_of_run(run) if run.kind in TRAINED else []
    if made is not None:
        mine = [score.run_id for score in made.scores]
        base = made.checkpoint.base
    else:
        mine = [run.pk] if run.kind == "eval" and run.result.get("n") else []
        base = model.base if model is not None else None
    task = task_of(made.checkpoint) if made else run.task
    return Relations(made, model, datasets, versus(base, mine), task or "crafter")


def versus(base: Checkpoint | None, mine: list[int]) -> tuple[int, int] | None:
    """The newest evals of the base and of this model that share worlds; None without such two."""
    if base is None or not mine:
        return None
    theirs = [score.run_id for score in scores_of(base)[:TRIED]]
    pairs = ((before, after) for after in mine[:TRIED] for before in theirs)
    return next((pair for pair in pairs if _share_worlds(*pair)), None)


def comparable(run_ids: list[int]) -> list[int]:
    """The most of these runs that share worlds with one of them, which comes first; [] for none.

    A comparison pairs each run with its first. At most a query a pair; one a run where all do.
    """
    best: list[int] = []
    for first in run_ids:
        if len(best) == len(run_ids):
            break
        others = [run for run in run_ids if run != first and _share_worlds(first, run)]
        if others and len(others) >= len(best):
            best = [first, *others]
    return best


def _share_worlds(a: int, b: int) -> bool:
    seeds = Episode.objects.filter(run_id=b).values("seed")
    versions = Episode.objects.filter(run_id=b).values("world_version")[:1]
    rows = Episode.objects.filter(run_id=a, seed__in=seeds, world_version__in=versions)
    return rows.exists()
