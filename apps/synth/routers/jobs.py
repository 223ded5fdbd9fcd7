"""Jobs: make, start, cancel, list, look at. Every family answers for any kind of job."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Body, Query, Router, Schema, Status
from ninja.decorators import decorate_view

from apps.api.auth import actor_of
from apps.api.idempotency import idempotent
from apps.synth import queries, services
from apps.synth.bodies import read_rl, read_sft
from apps.synth.families import on_all
from apps.synth.lists import listed

router = Router(tags=["jobs"])


@router.post("/learning/jobs", response={201: dict[str, Any]}, operation_id="create_learning_job")
@router.post("/sft/jobs", response={201: dict[str, Any]}, operation_id="create_sft_job")
@decorate_view(idempotent)
def create_sft(request: HttpRequest, body: Body[dict[str, Any]]) -> Status[dict[str, Any]]:
    """A fine-tuning; it waits for its start."""
    job = services.create_sft_job(actor=actor_of(request), wanted=read_sft(body))
    return Status(201, queries.row_of(job))


@router.post("/rl/jobs", response={201: dict[str, Any]})
@decorate_view(idempotent)
def create_rl(request: HttpRequest, body: Body[dict[str, Any]]) -> Status[dict[str, Any]]:
    """A training from reward; it is queued at once."""
    job = services.create_rl_job(actor=actor_of(request), wanted=read_rl(body))
    return Status(201, queries.row_of(job))


class JobFilter(Schema):
    """What a list of jobs may be asked for; `after` is the last job of the page before."""

    status: str = ""
    model: str = ""
    created_after: int | None = None
    created_before: int | None = None
    after: str = ""
    limit: int = 20


class SftFilter(JobFilter):
    """Fine-tunings also by their training file."""

    file_id: str = ""


@router.get("/learning/jobs", operation_id="list_learning_jobs")
@router.get("/sft/jobs", operation_id="list_sft_jobs")
def list_sft(request: HttpRequest, wanted: Query[SftFilter]) -> dict[str, Any]:
    """Fine-tunings, newest first."""
    return _list(request, "sft", wanted)


@router.get("/rl/jobs")
def list_rl(request: HttpRequest, wanted: Query[JobFilter]) -> dict[str, Any]:
    """Trainings from reward, newest first."""
    return _list(request, "rl", wanted)


def _list(request: HttpRequest, kind: str, wanted: JobFilter) -> dict[str, Any]:
    jobs = queries.list_jobs(project=actor_of(request).project, kind=kind, **wanted.dict())
    return listed([queries.row_of(job) for job in jobs], wanted.limit)


@on_all(router, "GET", "/{job_id}")
def get_job(request: HttpRequest, job_id: str) -> dict[str, Any]:
    """One job."""
    return queries.row_of(queries.find_job(project=actor_of(request).project, job_id=job_id))


@on_all(router, "POST", "/{job_id}/start")
def start_job(request: HttpRequest, job_id: str) -> dict[str, Any]:
    """Queue a job that waits for it; one that was started stays as it is."""
    actor = actor_of(request)
    job = queries.find_job(project=actor.project, job_id=job_id)
    return queries.row_of(services.start_job(actor=actor, job=job))


@on_all(router, "POST", "/{job_id}/cancel")
def cancel_job(request: HttpRequest, job_id: str) -> dict[str, Any]:
    """Stop a job; what it has done is kept."""
    actor = actor_of(request)
    job = queries.find_job(project=actor.project, job_id=job_id)
    return queries.row_of(services.cancel_job(actor=actor, job=job))
