"""Reads of usage: what was asked of each model, in calls, tokens and dollars."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Max, Sum
from django.utils.timezone import now

from apps.accounts.models import Project
from apps.inference.models import Usage

DAYS = 30
MOST_MODELS = 50


class UsageRow(NamedTuple):
    """What one model did. `provider` is "" for a checkpoint of ours."""

    model: str
    provider: str
    n_calls: int
    n_errors: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    last_hour: datetime


def usage_by_model(
    *, project: Project, model: str | None = None, days: int = DAYS
) -> list[UsageRow]:
    """The last days of each model, or of one, the most asked first; at most fifty."""
    rows = Usage.objects.filter(project=project, hour__gte=now() - timedelta(days=days))
    if model is not None:
        rows = rows.filter(model=model)
    sums = rows.values_list("model", "provider").annotate(
        calls=Sum("n_calls"),
        errors=Sum("n_errors"),
        prompt=Sum("prompt_tokens"),
        completion=Sum("completion_tokens"),
        cost=Sum("cost_usd"),
        last=Max("hour"),
    )
    return [UsageRow(*row) for row in sums.order_by("-calls", "model", "provider")[:MOST_MODELS]]
