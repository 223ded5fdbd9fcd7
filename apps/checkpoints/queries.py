"""All reads of checkpoints: lists, one by address or by model id, scores, files; `card.py` has the
model card.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from django.db.models import QuerySet

from apps.accounts.errors import not_found
from apps.accounts.models import Project
from apps.checkpoints.models import Checkpoint, CheckpointFile, ServedModel
from apps.checkpoints.seeds import SeedRanges, seen_seeds
from apps.runs.models import Run, RunState
from apps.runs.paging import Page, check_limit, decode_cursor, take_page
from engine.rollout.scores import MainScore, main_score

MOST_ANCESTORS = 50


class Score(NamedTuple):
    """One eval of a model. `main` is what it is judged by, over its scored episodes."""

    run_id: int
    run_name: str
    task: str
    n: int
    main: MainScore
    crafter_score: float
    leaked: bool  # played on worlds that the model was trained on


class CheckpointRow(NamedTuple):
    """One line of a list. `serving` is a state of ServerState, "" when nobody wanted it."""

    checkpoint: Checkpoint
    scores: list[Score]
    serving: str
    serving_error: str


def list_checkpoints(
    *,
    project: Project,
    kind: str | None = None,
    run: int | None = None,
    all_steps: bool = False,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[CheckpointRow]:
    """A page of checkpoints, newest first; those that only serve resume with `all_steps`."""
    rows = _rows(project)
    if not all_steps:
        rows = rows.filter(final=True)
    if kind:
        rows = rows.filter(kind=kind)
    if run is not None:
        rows = rows.filter(run_id=run)
    behind = decode_cursor(cursor, int)
    if behind:
        rows = rows.filter(pk__lt=behind[0])
    limit = check_limit(limit)
    found = list(rows.order_by("-id")[: limit + 1])
    page = take_page(found, limit, lambda row: (row.pk,), lambda row: row)
    return Page(_dressed(page.items), page.next)


def get_checkpoint(*, project: Project, uid: str) -> CheckpointRow:
    """A checkpoint by its address. Raises Refused(404)."""
    row = _rows(project).filter(uid=uid).first()
    if row is None:
        raise not_found("checkpoint", uid)
    return _dressed([row])[0]


def list_files(checkpoint: Checkpoint) -> list[CheckpointFile]:
    """Its files by path."""
    return list(checkpoint.files.order_by("path"))


def get_file(*, project: Project, uid: str, path: str) -> CheckpointFile:
    """One file, by the very path in its row: nothing else can be named. Raises Refused(404)."""
    rows = CheckpointFile.objects.filter(
        checkpoint__project=project, checkpoint__uid=uid, checkpoint__deleted_at=None, path=path
    )
    file = rows.select_related("checkpoint__base", "checkpoint__weights", "checkpoint__run").first()
    if file is None:
        raise not_found("file", path[:200])
    return file


def find_model(project_id: int, model_id: str) -> Checkpoint | None:
    """The checkpoint that a config or a call names, by model id or by address."""
    rows = Checkpoint.objects.filter(project_id=project_id, deleted_at=None)
    field = "uid" if model_id.startswith("ck_") else "model_id"
    return rows.filter(**{field: model_id}).first()


def list_model_ids(project_id: int) -> list[str]:
    """The ids of the project's published checkpoints, newest first."""
    rows = Checkpoint.objects.filter(project_id=project_id, deleted_at=None, final=True)
    return list(rows.order_by("-id").values_list("model_id", flat=True))


def scores_of(checkpoint: Checkpoint) -> list[Score]:
    """The finished evals of a model, newest first."""
    return _scores(checkpoint.project_id, [checkpoint.model_id]).get(checkpoint.model_id, [])


def task_of(checkpoint: Checkpoint) -> str:
    """The task that a model was made for: of its own run, else of what it was trained on."""
    if checkpoint.run is not None and checkpoint.run.task:
        return checkpoint.run.task
    tasks = [row[0] for row in checkpoint.trained_seeds]
    return str(tasks[0]) if tasks else "crafter"


def trained_seeds(checkpoint: Checkpoint) -> SeedRanges:
    """Every world that the model or one of its ancestors was trained on."""
    ranges: SeedRanges = checkpoint.trained_seeds
    return ranges


def leaked_seeds(
    checkpoint: Checkpoint, *, task: str, world_version: str = "", seeds: Iterable[int]
) -> list[int]:
    """Those of an eval's seeds that the model was trained on; it should be empty."""
    return seen_seeds(checkpoint.trained_seeds, task, world_version, seeds)


def descendants_of(checkpoint: Checkpoint) -> list[Checkpoint]:
    """The published checkpoints that were trained from this one directly."""
    rows = Checkpoint.objects.filter(base=checkpoint, final=True, deleted_at=None)
    return list(rows.order_by("id"))


def ancestors_of(checkpoint: Checkpoint) -> list[Checkpoint]:
    """What it was trained from, nearest first, down to the base."""
    of_project = Checkpoint.objects.filter(project=checkpoint.project_id)
    bases = dict(of_project.values_list("pk", "base_id"))
    chain: list[int] = []
    above = checkpoint.base_id
    while above is not None and len(chain) < MOST_ANCESTORS:
        chain.append(above)
        above = bases.get(above)
    rows = Checkpoint.objects.in_bulk(chain)
    return [rows[pk] for pk in chain]


def _rows(project: Project) -> QuerySet[Checkpoint]:
    rows = Checkpoint.objects.filter(project=project, deleted_at=None)
    return rows.select_related("base", "weights", "run")


def _dressed(checkpoints: list[Checkpoint]) -> list[CheckpointRow]:
    """Scores and serving state of a page: one query each."""
    if not checkpoints:
        return []
    scores = _scores(checkpoints[0].project_id, [row.model_id for row in checkpoints])
    served = {
        row.checkpoint_id: row for row in ServedModel.objects.filter(checkpoint__in=checkpoints)
    }
    return [
        CheckpointRow(
            row,
            scores.get(row.model_id, []),
            served[row.pk].state if row.pk in served else "",
            served[row.pk].error if row.pk in served else "",
        )
        for row in checkpoints
    ]


def _scores(project_id: int, model_ids: Iterable[str]) -> dict[str, list[Score]]:
    rows = Run.objects.filter(
        project_id=project_id, kind="eval", state=RunState.SUCCEEDED, model__in=set(model_ids)
    ).only("id", "name", "task", "model", "result", "leaked_seeds")
    scores: dict[str, list[Score]] = {}
    for run in rows.order_by("-id"):
        if main := main_score(run.result):
            scores.setdefault(run.model, []).append(_score(run, main))
    return scores


def _score(run: Run, main: MainScore) -> Score:
    result = run.result
    return Score(
        run.pk,
        run.name,
        run.task,
        int(result.get("n", 0)),
        main,
        float(result.get("crafter_score", 0.0)),
        bool(run.leaked_seeds),
    )
