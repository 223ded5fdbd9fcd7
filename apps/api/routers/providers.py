"""Providers and model aliases."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema, Status

from apps.accounts.models import Role
from apps.api.auth import actor_of
from apps.api.shapes import Listed
from apps.launch.services import test_endpoint
from apps.providers import queries, services
from apps.providers.models import Provider

router = Router(tags=["providers"])


class ProviderIn(Schema):
    """A provider to make. `base_url` with /v1 for a model API; the key is stored encrypted."""

    name: str
    base_url: str
    key: str = ""
    kind: str = "openai"
    max_concurrent: int = 32
    requests_per_minute: int = 0
    timeout_s: int | None = None
    max_tries: int | None = None
    prices: dict[str, Any] = {}


class ProviderPatch(Schema):
    """What to change; what is left out stays. A new address drops the old key."""

    name: str | None = None
    base_url: str | None = None
    key: str | None = None
    max_concurrent: int | None = None
    requests_per_minute: int | None = None
    timeout_s: int | None = None
    max_tries: int | None = None
    prices: dict[str, Any] | None = None
    enabled: bool | None = None


class ProviderOut(Schema):
    """A provider without its key."""

    id: int
    name: str
    kind: str
    base_url: str
    has_key: bool
    max_concurrent: int
    requests_per_minute: int
    timeout_s: int
    max_tries: int
    prices: dict[str, Any]
    enabled: bool
    created_at: datetime

    @classmethod
    def of(cls, row: Provider) -> dict[str, Any]:
        names = (name for name in cls.model_fields if name not in ("id", "has_key"))
        plain = {name: getattr(row, name) for name in names}
        return {"id": row.pk, "has_key": bool(row.encrypted_key), **plain}


class AliasIn(Schema):
    """Let `requested` stand for `resolved` here; an empty `resolved` ends it."""

    requested: str
    resolved: str


@router.get("/providers", response=Listed[ProviderOut])
def list_providers(request: HttpRequest) -> dict[str, Any]:
    """The project's inference providers and remote task apps."""
    rows = queries.list_providers(project=actor_of(request).project)
    return {"items": [ProviderOut.of(row) for row in rows], "next": None}


@router.post("/providers", response={201: ProviderOut})
def create_provider(request: HttpRequest, body: ProviderIn) -> Status[dict[str, Any]]:
    """Add an endpoint."""
    return Status(
        201, ProviderOut.of(services.create_provider(actor=actor_of(request), **body.dict()))
    )


@router.get("/providers/{provider_id}", response=ProviderOut)
def get_provider(request: HttpRequest, provider_id: int) -> dict[str, Any]:
    """One provider."""
    project = actor_of(request).project
    return ProviderOut.of(queries.get_provider(project=project, provider_id=provider_id))


@router.patch("/providers/{provider_id}", response=ProviderOut)
def patch_provider(request: HttpRequest, provider_id: int, body: ProviderPatch) -> dict[str, Any]:
    """Change an endpoint."""
    actor = actor_of(request)
    provider = queries.get_provider(project=actor.project, provider_id=provider_id)
    changes = {k: v for k, v in body.dict(exclude_unset=True).items() if v is not None}
    return ProviderOut.of(services.update_provider(actor=actor, provider=provider, **changes))


@router.delete("/providers/{provider_id}", response={204: None})
def delete_provider(request: HttpRequest, provider_id: int) -> Status[None]:
    """Remove an endpoint with its key."""
    actor = actor_of(request)
    provider = queries.get_provider(project=actor.project, provider_id=provider_id)
    services.delete_provider(actor=actor, provider=provider)
    return Status(204, None)


@router.post("/providers/{provider_id}/test")
def test_provider(request: HttpRequest, provider_id: int) -> dict[str, Any]:
    """Ask a model API for its models, or a task app for its health and task_info, with its key."""
    actor = actor_of(request)
    actor.require(Role.ADMIN)
    provider = queries.get_provider(project=actor.project, provider_id=provider_id)
    return test_endpoint(provider=provider)._asdict()


@router.get("/aliases")
def list_aliases(request: HttpRequest) -> dict[str, Any]:
    """Base model ids that stand for another one here."""
    rows = queries.list_aliases(project=actor_of(request).project)
    return {"items": [row._asdict() for row in rows]}


@router.post("/aliases", response={201: AliasIn})
def set_alias(request: HttpRequest, body: AliasIn) -> Status[AliasIn]:
    """Set or end an alias; never done silently."""
    services.set_alias(actor=actor_of(request), requested=body.requested, resolved=body.resolved)
    return Status(201, body)
