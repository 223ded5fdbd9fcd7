"""Who am I, keys, workers, disk use."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router, Schema, Status

from apps.accounts import queries, services
from apps.accounts.models import ApiKey, Role
from apps.api.auth import actor_of
from apps.api.shapes import KeyOut, Listed
from apps.api.shown_once import ShownOnce, ShowsOnce
from apps.runs import queries as run_queries
from apps.runs.queries.disk import list_biggest, measure_disk

router = Router(tags=["account"])


class KeyIn(Schema):
    """A key to make. Scopes: read, write, admin."""

    name: str
    scopes: list[str] = ["read"]
    expires_at: datetime | None = None


class NewKeyOut(KeyOut, ShowsOnce):
    """A key just made; `key` is its clear text."""

    key: ShownOnce


@router.get("/me")
def me(request: HttpRequest) -> dict[str, Any]:
    """The caller, the project in use, and what the key may do."""
    actor = actor_of(request)
    return {
        "user": actor.user.username,
        "project": {"id": actor.project.pk, "slug": actor.project.slug, "name": actor.project.name},
        "role": actor.role.value,
        "scopes": list(actor.scopes),
    }


@router.get("/keys", response=Listed[KeyOut])
def list_keys(request: HttpRequest) -> dict[str, Any]:
    """The project's keys, never their clear text."""
    actor = actor_of(request)
    actor.require(Role.ADMIN)
    return {"items": [KeyOut.of(key) for key in queries.list_keys(actor.project)], "next": None}


@router.post("/keys", response={201: NewKeyOut})
def create_key(request: HttpRequest, body: KeyIn) -> Status[dict[str, Any]]:
    """Make a key; `key` in the answer is its clear text, shown this once."""
    actor = actor_of(request)
    actor.require(Role.ADMIN)
    made = services.create_api_key(
        project=actor.project,
        user=actor.user,
        name=body.name,
        scopes=body.scopes,
        expires_at=body.expires_at,
        actor=actor,
    )
    return Status(201, {**KeyOut.of(made.key), "key": made.clear})


@router.delete("/keys/{key_id}", response={204: None})
def revoke_key(request: HttpRequest, key_id: int) -> Status[None]:
    """Turn a key off for good."""
    actor = actor_of(request)
    actor.require(Role.ADMIN)
    key = get_object_or_404(ApiKey, pk=key_id, project=actor.project)
    services.revoke_api_key(key=key, actor=actor)
    return Status(204, None)


@router.get("/workers")
def list_workers(request: HttpRequest) -> dict[str, Any]:
    """The workers that reported in the last minutes, their slots and what they hold."""
    actor_of(request)
    return {"items": [row._asdict() for row in run_queries.list_workers()], "next": None}


@router.get("/storage")
def storage(request: HttpRequest) -> dict[str, Any]:
    """The disk's free room, what of ours takes it, and the project's biggest runs."""
    actor, disk = actor_of(request), measure_disk()
    hidden = () if actor.may_admin else ("where",)
    rooms = [{k: v for k, v in room._asdict().items() if k not in hidden} for room in disk.rooms]
    biggest = list_biggest(project=actor.project, disk=disk)
    return {
        "total_bytes": disk.total_bytes,
        "free_bytes": disk.free_bytes,
        "rooms": rooms,
        "biggest_runs": [{**run._asdict(), "size_bytes": run.size_bytes} for run in biggest],
    }
