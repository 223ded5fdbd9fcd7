"""All reads of pipelines; rows ready to show."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from apps.accounts.errors import not_found
from apps.accounts.models import Project
from apps.launch.models import Pipeline, PipelineState, Stage, StageState
from apps.launch.services.table import make_table, read_table
from apps.runs.paging import Page, check_limit, decode_cursor, take_page
from engine.rollout.scores import main_score


@dataclass(frozen=True)
class StageRow:
    """One rung of the ladder. `score` is what an eval or rollout is judged by."""

    name: str
    kind: str
    state: str
    needs: list[str]
    run_id: int | None
    run_name: str
    run_state: str
    model: str
    progress_done: int
    progress_total: int
    progress_unit: str
    dataset_id: int | None
    dataset_name: str
    score: float | None
    score_ci95: tuple[float, float] | None
    measure: str  # of the score: achievements, accuracy, or ""
    error: dict[str, Any] | None
    started_at: datetime | None
    ended_at: datetime | None
    seconds: float | None  # how long it took; None while it waits or runs


@dataclass(frozen=True)
class PipelineRow:
    """One line of the list."""

    id: int
    name: str
    state: str
    config_id: int
    created_by: str
    created_at: datetime
    ended_at: datetime | None
    n_stages: int
    n_done: int
    error: dict[str, Any] | None


@dataclass(frozen=True)
class PipelineDetail(PipelineRow):
    """A pipeline with its ladder and, where it has one, its table (see services/table.py)."""

    stages: list[StageRow] = field(default_factory=list)
    table: dict[str, Any] = field(default_factory=dict)


def list_pipelines(
    *, project: Project, state: str | None = None, cursor: str | None = None, limit: int = 50
) -> Page[PipelineRow]:
    """Pipelines of a project, newest first. Two queries."""
    check_limit(limit)
    rows = Pipeline.objects.filter(project=project).order_by("-id").select_related("created_by")
    if state:
        rows = rows.filter(state=state)
    key = decode_cursor(cursor, int)
    if key:
        rows = rows.filter(id__lt=key[0])
    found = list(rows.prefetch_related("stages")[: limit + 1])
    return take_page(found, limit, lambda row: (row.pk,), _row)


def get_pipeline(*, project: Project, pipeline_id: int) -> PipelineDetail:
    """One pipeline with its stages. Raises Refused(404)."""
    pipeline = find_pipeline(project=project, pipeline_id=pipeline_id)
    rows = Stage.objects.filter(pipeline=pipeline).order_by("index")
    stages = list(rows.select_related("run", "dataset"))
    over = pipeline.state in (PipelineState.SUCCEEDED, PipelineState.FAILED)
    table = read_table(pipeline.result) if over else make_table(pipeline, stages)
    plain = _row(pipeline)
    return PipelineDetail(**vars(plain), stages=[_stage(s) for s in stages], table=table)


def find_pipeline(*, project: Project, pipeline_id: int) -> Pipeline:
    """The row itself, for a service. Raises Refused(404)."""
    rows = Pipeline.objects.select_related("project", "config", "created_by")
    pipeline = rows.filter(project=project, pk=pipeline_id).first()
    if pipeline is None:
        raise not_found("pipeline", pipeline_id)
    return pipeline


def _row(pipeline: Pipeline) -> PipelineRow:
    states = [stage.state for stage in pipeline.stages.all()]
    return PipelineRow(
        id=pipeline.pk,
        name=pipeline.name,
        state=pipeline.state,
        config_id=pipeline.config_id,
        created_by=pipeline.created_by.username if pipeline.created_by else "",
        created_at=pipeline.created_at,
        ended_at=pipeline.ended_at,
        n_stages=len(states),
        n_done=states.count(StageState.SUCCEEDED),
        error=pipeline.error,
    )


def _stage(stage: Stage) -> StageRow:
    run, dataset = stage.run, stage.dataset
    score = main_score(run.result) if run else None
    return StageRow(
        name=stage.name,
        kind=stage.kind,
        state=stage.state,
        needs=list(stage.needs),
        run_id=run.pk if run else None,
        run_name=run.name if run else "",
        run_state=run.state if run else "",
        model=run.model if run else "",
        progress_done=run.progress_done if run else 0,
        progress_total=run.progress_total if run else 0,
        progress_unit=run.progress_unit if run else "",
        dataset_id=dataset.pk if dataset else None,
        dataset_name=dataset.name if dataset else "",
        score=score.mean if score else None,
        score_ci95=(score.low, score.high) if score else None,
        measure=score.name if score else "",
        error=stage.error,
        started_at=stage.started_at,
        ended_at=stage.ended_at,
        seconds=(stage.ended_at - stage.started_at).total_seconds()
        if stage.started_at and stage.ended_at
        else None,
    )
