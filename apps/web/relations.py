"""What a run is tied to: the model it plays or starts from, its data, what it made or compares to.

Reads other rooms' queries and joins them for one page; no rule lives here.
"""

from __future__ import annotations

from typing import NamedTuple

from apps.accounts.models import Project
from apps.checkpoints.models import Checkpoint
from apps.checkpoints.queries import CheckpointRow, find_model, list_checkpoints, scores_of
from apps.datasets.models import Dataset
from apps.datasets.queries import datasets_of_run
from apps.runs.models import Run

PLAYED = ("eval", "rollout", "rl")
TRAINED = ("sft", "rl", "base")


class Relations(NamedTuple):
    """`versus` is two eval runs, the base's and this model's, when both have been played."""

    made: CheckpointRow | None  # by this run
    model: Checkpoint | None  # that it plays or was trained from
    datasets: list[Dataset]
    versus: tuple[int, int] | None


def relations_of(*, project: Project, run: Run) -> Relations:
    """Up to eight queries, none for what the kind of run cannot have."""
    found = list_checkpoints(project=project, run=run.pk, limit=1) if run.kind in TRAINED else None
    made = found.items[0] if found and found.items else None
    model = find_model(project.pk, run.model) if run.kind != "base" and run.model else None
    datasets = datasets_of_run(run) if run.kind in TRAINED else []
    if made is not None:
        mine = made.scores[0].run_id if made.scores else None
        base = made.checkpoint.base
    else:
        mine = run.pk if run.kind == "eval" and run.result.get("n") else None
        base = model.base if model is not None else None
    return Relations(made, model, datasets, versus(base, mine))


def versus(base: Checkpoint | None, mine: int | None) -> tuple[int, int] | None:
    """The newest eval of the base and this one, ready to compare; None when one is missing."""
    scores = scores_of(base) if base is not None and mine is not None else []
    return (scores[0].run_id, mine) if scores and mine is not None else None
