"""Inference providers and remote task apps: where they are, their key, limits and prices."""

from __future__ import annotations

from django.db import models

from apps.accounts.models import Project


class ProviderKind(models.TextChoices):
    OPENAI = "openai", "OpenAI-compatible model API"
    TASK_APP = "task_app", "remote task app"


class Provider(models.Model):
    """One endpoint. Configs name it; an `inference_url` is matched to it by origin, for its key."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="providers")
    name = models.SlugField(max_length=60)
    kind = models.CharField(
        max_length=10, choices=ProviderKind.choices, default=ProviderKind.OPENAI
    )
    base_url = models.URLField(max_length=500)  # with /v1 for a model API
    origin = models.CharField(max_length=300)  # scheme://host:port of base_url, normalised
    encrypted_key = models.TextField(blank=True)  # Fernet token; the key lives outside the database
    max_concurrent = models.PositiveIntegerField(default=32)
    requests_per_minute = models.PositiveIntegerField(default=0)  # 0: no limit
    timeout_s = models.PositiveIntegerField(default=120)  # of one call, or of a task app's episode
    max_tries = models.PositiveIntegerField(default=5)  # of one call; retries are the run's budget
    # {model id or "*": {"input": USD per 1 M tokens, "output": ...}}
    prices = models.JSONField(default=dict, blank=True)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="provider_name_in_project")
        ]
        indexes = [models.Index(fields=["project", "origin"], name="provider_by_origin")]


class ModelAlias(models.Model):
    """Set by the operator only: a base model id that here stands for another one."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="model_aliases")
    requested = models.CharField(max_length=200)  # Qwen/Qwen3-4B
    resolved = models.CharField(max_length=200)  # synthweb/crafter-small

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "requested"], name="alias_in_project")
        ]
