"""Models: what was trained here, under the ids that configs and calls name."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router

from apps.api.auth import actor_of
from apps.checkpoints.models import Checkpoint
from apps.checkpoints.services import delete_checkpoint
from apps.synth import queries
from apps.synth.lists import listed

router = Router(tags=["models"])


def row_of(model: Checkpoint) -> dict[str, Any]:
    """A model as clients read it; one is listed only once it can be used."""
    return {
        "id": model.model_id,
        "object": "model",
        "kind": model.kind,
        "method": model.method,
        "base_model": model.base_model or None,
        "base_model_resolved": model.base_model_resolved or None,
        "created_at": queries.epoch_of(model.created_at),
        "job_id": model.run.job_id if model.run else None,
        "status": "succeeded",
        "checkpoint": model.uid,
    }


@router.get("/models")
def list_models(
    request: HttpRequest,
    source: str = "",
    base_model: str = "",
    status: str = "",
    after: str = "",
    limit: int = 20,
) -> dict[str, Any]:
    """Published models, newest first. `source`: sft or rl; all have the status succeeded."""
    rows = queries.list_models(
        project=actor_of(request).project,
        kinds=(source,) if source else (),
        base_model=base_model,
        after=after,
        limit=limit,
    )
    rows = rows if status in ("", "succeeded") else []
    return listed([row_of(row) for row in rows], limit)


@router.get("/learning/models")
def list_trained(request: HttpRequest, after: str = "", limit: int = 100) -> dict[str, Any]:
    """Models that were trained here, newest first."""
    rows = queries.list_models(
        project=actor_of(request).project, kinds=("sft", "rl"), after=after, limit=limit
    )
    return listed([row_of(row) for row in rows], limit)


@router.get("/models/{path:model_id}/jobs")
def list_model_jobs(request: HttpRequest, model_id: str, limit: int = 20) -> dict[str, Any]:
    """The jobs that made a model or trained on from it, newest first."""
    jobs = queries.jobs_of_model(project=actor_of(request).project, model_id=model_id, limit=limit)
    return listed([queries.row_of(job) for job in jobs], limit)


@router.get("/models/{path:model_id}")
def get_model(request: HttpRequest, model_id: str) -> dict[str, Any]:
    """One model."""
    project = actor_of(request).project
    return row_of(queries.find_published(project=project, model_id=model_id))


@router.delete("/models/{path:model_id}")
def delete_model(request: HttpRequest, model_id: str) -> dict[str, Any]:
    """Forget a model's files; lineage keeps its name."""
    actor = actor_of(request)
    model = queries.find_published(project=actor.project, model_id=model_id)
    delete_checkpoint(actor=actor, checkpoint=model)
    return {"id": model.model_id, "object": "model", "deleted": True}
