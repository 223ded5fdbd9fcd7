"""Pipelines: runs and datasets that wait for each other."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema, Status

from apps.api.auth import actor_of
from apps.api.routers.configs import ConfigIn
from apps.launch import queries, services

router = Router(tags=["pipelines"])


class ContinueIn(Schema):
    """Which failed stage to try again ("" for all), and `key=value` that mend its config."""

    stage: str = ""
    set: list[str] = []


@router.get("/pipelines")
def list_pipelines(
    request: HttpRequest, state: str | None = None, cursor: str | None = None, limit: int = 50
) -> dict[str, Any]:
    """Pipelines, newest first."""
    page = queries.list_pipelines(
        project=actor_of(request).project, state=state, cursor=cursor, limit=limit
    )
    return {"items": [asdict(row) for row in page.items], "next": page.next}


@router.post("/pipelines", response={201: dict[str, Any]})
def start_pipeline(request: HttpRequest, body: ConfigIn) -> Status[dict[str, Any]]:
    """Store a config with stages and start it."""
    actor = actor_of(request)
    made = services.start_pipeline(actor=actor, config=body.store(actor))
    return Status(201, asdict(queries.get_pipeline(project=actor.project, pipeline_id=made.pk)))


@router.get("/pipelines/{pipeline_id}")
def get_pipeline(request: HttpRequest, pipeline_id: int) -> dict[str, Any]:
    """One pipeline with its stages and, once its evals have ended, its table of scores."""
    project = actor_of(request).project
    return asdict(queries.get_pipeline(project=project, pipeline_id=pipeline_id))


@router.post("/pipelines/{pipeline_id}/cancel")
def cancel_pipeline(request: HttpRequest, pipeline_id: int) -> dict[str, Any]:
    """Stop a pipeline with what runs for it; what is done is kept."""
    actor = actor_of(request)
    pipeline = queries.find_pipeline(project=actor.project, pipeline_id=pipeline_id)
    services.cancel_pipeline(actor=actor, pipeline=pipeline)
    return asdict(queries.get_pipeline(project=actor.project, pipeline_id=pipeline_id))


@router.post("/pipelines/{pipeline_id}/continue")
def continue_pipeline(request: HttpRequest, pipeline_id: int, body: ContinueIn) -> dict[str, Any]:
    """Go on behind a failed stage, with its config mended where `set` says so."""
    actor = actor_of(request)
    pipeline = queries.find_pipeline(project=actor.project, pipeline_id=pipeline_id)
    services.continue_pipeline(actor=actor, pipeline=pipeline, stage=body.stage, sets=body.set)
    return asdict(queries.get_pipeline(project=actor.project, pipeline_id=pipeline_id))
