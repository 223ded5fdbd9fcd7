"""Runs: make, list, watch, and the verbs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Schema, Status

from apps.accounts.errors import Refused
from apps.accounts.models import Role
from apps.accounts.queries import Actor
from apps.api.auth import actor_of
from apps.api.routers.configs import ConfigIn
from apps.api.shapes import Listed, RunDetailOut, RunOut
from apps.launch import services as launch_services
from apps.runs import queries, services
from apps.runs.models import Config, Run

router = Router(tags=["runs"])


class RunIn(ConfigIn):
    """A run from a stored config (`config_id`), from TOML text, or from JSON (`config`)."""

    config_id: int | None = None
    launch: bool = True
    priority: int = 5


class RunPatch(Schema):
    """What people write on a run; what is left out stays."""

    notes: str | None = None
    tags: list[str] | None = None
    priority: int | None = None


def _stored(body: RunIn, actor: Actor) -> Config:
    """The config that the request means. Raises Refused unless exactly one form is given."""
    if body.config_id is None:
        return body.store(actor)
    if body.toml is not None or body.config is not None:
        raise Refused("invalid", "Give `config_id`, `toml` or `config`, one of them.", status=422)
    config = queries.get_config(project=actor.project, config_id=body.config_id)
    return launch_services.with_sets(actor=actor, config=config, sets=body.set)


@router.post("/runs", response={201: dict[str, Any]})
def create_run(request: HttpRequest, body: RunIn) -> Status[dict[str, Any]]:
    """Make a run and queue it; `launch: false` leaves it a draft.

    A config with stages makes a pipeline: the answer then is `{pipeline, links}`.
    """
    actor = actor_of(request)
    actor.require(Role.EDITOR)
    made = launch_services.launch(
        config=_stored(body, actor),
        actor=actor,
        priority=body.priority,
        queue=body.launch,
    )
    if not isinstance(made, Run):
        links = {"self": f"/api/v1/pipelines/{made.pk}", "page": f"/pipelines/{made.pk}/"}
        return Status(201, {"pipeline": made.pk, "links": links})
    return Status(201, RunDetailOut.of(queries.get_run(project=actor.project, run_id=made.pk)))


@router.get("/runs", response=Listed[RunOut])
def list_runs(
    request: HttpRequest,
    kind: str | None = None,
    state: str | None = None,
    tag: str | None = None,
    model: str | None = None,
    q: str | None = None,
    order: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> dict[str, Any]:
    """Runs, newest first; order: -id, id, -score, score, -took or took."""
    page = queries.list_runs(
        project=actor_of(request).project,
        kind=kind,
        state=state,
        tag=tag,
        model=model,
        q=q,
        order=order,
        cursor=cursor,
        limit=limit,
    )
    return {"items": [RunOut.of(row) for row in page.items], "next": page.next}


@router.get("/runs/{run_id}", response=RunDetailOut)
def get_run(request: HttpRequest, run_id: int) -> dict[str, Any]:
    """One run."""
    return _answer(actor_of(request), run_id)


@router.patch("/runs/{run_id}", response=RunDetailOut)
def patch_run(request: HttpRequest, run_id: int, body: RunPatch) -> dict[str, Any]:
    """Write notes, tags or, while it is not over, the priority: 0 first, 9 last."""
    actor = actor_of(request)
    run = queries.find_run(project=actor.project, run_id=run_id)
    if body.notes is not None:
        services.set_notes(run=run, actor=actor, notes=body.notes)
    if body.tags is not None:
        services.set_tags(run=run, actor=actor, tags=body.tags)
    if body.priority is not None:
        services.set_priority(run=run, actor=actor, priority=body.priority)
    return _answer(actor, run_id)


@router.delete("/runs/{run_id}", response=dict[str, Any])
def delete_run(request: HttpRequest, run_id: int) -> dict[str, Any]:
    """Delete a run that is over, with its episodes and events; its checkpoints stay."""
    actor = actor_of(request)
    run = queries.find_run(project=actor.project, run_id=run_id)
    return {"deleted": services.delete_run(run=run, actor=actor)}


@router.post("/runs/{run_id}/launch", response=RunDetailOut)
def launch_run(request: HttpRequest, run_id: int) -> dict[str, Any]:
    """Queue a draft. Twice is once."""
    return _verb(request, run_id, launch_services.queue_draft)


@router.post("/runs/{run_id}/cancel", response=RunDetailOut)
def cancel_run(request: HttpRequest, run_id: int) -> dict[str, Any]:
    """Ask a run to stop; what it has done is kept."""
    return _verb(request, run_id, services.cancel_run)


@router.post("/runs/{run_id}/resume", response=RunDetailOut)
def resume_run(request: HttpRequest, run_id: int) -> dict[str, Any]:
    """Go on with a failed or cancelled run: only what is missing is done."""
    return _verb(request, run_id, services.resume_run)


@router.post("/runs/{run_id}/retry-failed", response=RunDetailOut)
def retry_failed(request: HttpRequest, run_id: int) -> dict[str, Any]:
    """Play the broken episodes of an ended run again."""
    return _verb(request, run_id, services.retry_failed)


@router.post("/runs/{run_id}/clone", response={201: RunDetailOut})
def clone_run(
    request: HttpRequest,
    run_id: int,
    set: list[str] = Query(default=[]),  # noqa: B008
) -> Status[dict[str, Any]]:
    """A new draft with the same config, changed by `set=key=value`; launch it with its verb."""
    actor = actor_of(request)
    run = queries.find_run(project=actor.project, run_id=run_id)
    made = launch_services.clone(run=run, actor=actor, sets=tuple(set))
    return Status(201, _answer(actor, made.pk))


@router.get("/runs/{run_id}/events")
def list_events(
    request: HttpRequest,
    run_id: int,
    after: int = 0,
    limit: int = 500,
    type: str | None = None,
) -> dict[str, Any]:
    """Events behind `after`, oldest first. With `Accept: text/event-stream`: a live stream."""
    run = queries.find_run(project=actor_of(request).project, run_id=run_id)
    types = type.split(",") if type else None
    rows = queries.list_events(run=run, after=after, limit=limit, types=types)
    return {"events": [row._asdict() for row in rows]}


@router.get("/runs/{run_id}/metrics")
def list_metrics(
    request: HttpRequest,
    run_id: int,
    name: list[str] = Query(default=[]),  # noqa: B008
    after: int = 0,
    max_points: int = 3000,
) -> dict[str, Any]:
    """Points of the named curves (all, without `name`) behind seq `after`, thinned with min/max."""
    run = queries.find_run(project=actor_of(request).project, run_id=run_id)
    points = queries.list_points(
        run=run, names=name or None, after=after, max_points=max(10, min(max_points, 100_000))
    )
    return {
        "points": [point._asdict() for point in points],
        "series": [row._asdict() for row in queries.list_series(run=run)],
    }


@router.get("/queue")
def list_queue(request: HttpRequest) -> dict[str, Any]:
    """What runs and waits, in the order in which workers take it, with the reason of waiting."""
    rows = queries.list_queue(project=actor_of(request).project)
    return {"items": [row._asdict() for row in rows], "next": None}


def _verb(request: HttpRequest, run_id: int, verb: Callable[..., Run]) -> dict[str, Any]:
    """Find the run, do the verb, answer the run as it is then."""
    actor = actor_of(request)
    verb(run=queries.find_run(project=actor.project, run_id=run_id), actor=actor)
    return _answer(actor, run_id)


def _answer(actor: Actor, run_id: int) -> dict[str, Any]:
    return RunDetailOut.of(queries.get_run(project=actor.project, run_id=run_id))
