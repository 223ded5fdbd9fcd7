"""Webhooks: addresses that are told when a run or pipeline ends. For admins."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema, Status

from apps.accounts.models import Role
from apps.accounts.queries import Actor
from apps.api.auth import actor_of
from apps.api.shapes import Listed
from apps.api.shown_once import ShownOnce, ShowsOnce
from apps.launch.queries.webhooks import delivery_row, list_webhooks
from apps.launch.services import webhooks as services

router = Router(tags=["webhooks"])


class WebhookIn(Schema):
    """An address to tell: https or http, and public unless the operator listed it."""

    url: str


class DeliveryOut(Schema):
    """What was told and what came back; `next_try_at` null: over, well or not."""

    id: int
    event: str
    target: str
    n_tries: int
    ok: bool
    status: int
    answer: str
    tried_at: datetime | None
    next_try_at: datetime | None


class WebhookOut(Schema):
    """A webhook and what it was told last; never its secret."""

    id: int
    url: str
    created_at: datetime
    deliveries: list[DeliveryOut]


class NewWebhookOut(ShowsOnce):
    """A webhook just made; `secret` signs each call to it."""

    id: int
    url: str
    secret: ShownOnce


@router.get("/webhooks", response=Listed[WebhookOut])
def webhooks(request: HttpRequest) -> dict[str, Any]:
    """The project's webhooks with their last answers."""
    rows = list_webhooks(project=_admin(request).project)
    items = [
        {**row._asdict(), "deliveries": [one._asdict() for one in row.deliveries]} for row in rows
    ]
    return {"items": items, "next": None}


@router.post("/webhooks", response={201: NewWebhookOut})
def create_webhook(request: HttpRequest, body: WebhookIn) -> Status[dict[str, Any]]:
    """Tell an address of every end from now on; `secret` signs each call, shown this once."""
    made = services.create_webhook(actor=_admin(request), url=body.url)
    hook = made.webhook
    return Status(201, {"id": hook.pk, "url": hook.url, "secret": made.secret})


@router.delete("/webhooks/{webhook_id}", response={204: None})
def delete_webhook(request: HttpRequest, webhook_id: int) -> Status[None]:
    """Tell it nothing more."""
    actor = _admin(request)
    hook = services.get_webhook(project=actor.project, webhook_id=webhook_id)
    services.delete_webhook(actor=actor, webhook=hook)
    return Status(204, None)


@router.post("/webhooks/{webhook_id}/test", response=DeliveryOut)
def test_webhook(request: HttpRequest, webhook_id: int) -> dict[str, Any]:
    """Send a test now and answer what came back; takes up to ten seconds."""
    actor = _admin(request)
    hook = services.get_webhook(project=actor.project, webhook_id=webhook_id)
    return delivery_row(services.test_webhook(actor=actor, webhook=hook))._asdict()


def _admin(request: HttpRequest) -> Actor:
    actor = actor_of(request)
    actor.require(Role.ADMIN)
    return actor
