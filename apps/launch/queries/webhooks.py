"""Webhooks with their last answers, ready to show; never their secret."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from apps.accounts.models import Project
from apps.launch.models import Delivery, Webhook

N_LAST = 10


class DeliveryRow(NamedTuple):
    """What was told and what came back. `next_try_at` None: over, well or not."""

    id: int
    event: str
    target: str
    n_tries: int
    ok: bool
    status: int
    answer: str
    tried_at: datetime | None
    next_try_at: datetime | None


class WebhookRow(NamedTuple):
    """A webhook and what it was told last, newest first."""

    id: int
    url: str
    created_at: datetime
    deliveries: list[DeliveryRow]


def list_webhooks(*, project: Project) -> list[WebhookRow]:
    """The project's webhooks, oldest first."""
    hooks = Webhook.objects.filter(project=project).order_by("id")
    return [WebhookRow(hook.pk, hook.url, hook.created_at, _last(hook)) for hook in hooks]


def _last(hook: Webhook) -> list[DeliveryRow]:
    return [delivery_row(row) for row in hook.deliveries.order_by("-id")[:N_LAST]]


def delivery_row(row: Delivery) -> DeliveryRow:
    """One delivery as pages and API show it."""
    return DeliveryRow(*(getattr(row, name) for name in DeliveryRow._fields))
