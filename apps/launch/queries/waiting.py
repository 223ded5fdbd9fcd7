"""Stages of running pipelines that have no run yet, because another stage has to end first."""

from __future__ import annotations

from typing import NamedTuple

from apps.accounts.models import Project
from apps.launch.models import PipelineState, Stage, StageState


class WaitingStage(NamedTuple):
    """A stage and the stages that it waits for."""

    pipeline_id: int
    pipeline: str
    stage: str
    kind: str
    waits_for: list[str]


def list_waiting(*, project: Project, limit: int = 100) -> list[WaitingStage]:
    """The waiting stages of a project's running pipelines, in the order of their pipelines."""
    running = Stage.objects.filter(
        pipeline__project=project, pipeline__state=PipelineState.RUNNING
    ).select_related("pipeline")
    done: set[tuple[int, str]] = set()
    waiting: list[Stage] = []
    for stage in running.order_by("pipeline_id", "index"):
        if stage.state == StageState.SUCCEEDED:
            done.add((stage.pipeline_id, stage.name))
        elif stage.state == StageState.WAITING:
            waiting.append(stage)
    return [_row(stage, done) for stage in waiting[:limit]]


def _row(stage: Stage, done: set[tuple[int, str]]) -> WaitingStage:
    left = [name for name in stage.needs if (stage.pipeline_id, name) not in done]
    return WaitingStage(stage.pipeline_id, stage.pipeline.name, stage.name, stage.kind, left)
