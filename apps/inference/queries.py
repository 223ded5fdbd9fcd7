"""All reads of usage."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from django.db.models import Sum
from django.utils.timezone import now

from apps.accounts.models import Project
from apps.inference.models import Usage


class UsageRow(NamedTuple):
    """What one model was used for in the given days."""

    model: str
    provider: str
    n_calls: int
    n_errors: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float


def list_usage(*, project: Project, days: int = 30) -> list[UsageRow]:
    """Usage by model over the last `days`, the most used first."""
    rows = Usage.objects.filter(project=project, hour__gte=now() - timedelta(days=days))
    sums = rows.values_list("model", "provider").annotate(
        calls=Sum("n_calls"),
        errors=Sum("n_errors"),
        prompt=Sum("prompt_tokens"),
        completion=Sum("completion_tokens"),
        cost=Sum("cost_usd"),
    )
    return [UsageRow(*row) for row in sums.order_by("-calls")]
