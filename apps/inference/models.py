"""Usage of models through `/api/inference/v1`, summed by hour."""

from __future__ import annotations

from django.db import models

from apps.accounts.models import Project


class Usage(models.Model):
    """Calls of one model in one hour; rows are added to, never one a call."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="usage")
    hour = models.DateTimeField()
    model = models.CharField(max_length=300)
    provider = models.CharField(max_length=60, blank=True)  # "" for a checkpoint of ours
    n_calls = models.PositiveBigIntegerField(default=0)
    n_errors = models.PositiveBigIntegerField(default=0)
    prompt_tokens = models.PositiveBigIntegerField(default=0)
    completion_tokens = models.PositiveBigIntegerField(default=0)
    cost_usd = models.FloatField(default=0.0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "hour", "model", "provider"], name="usage_once_an_hour"
            )
        ]
