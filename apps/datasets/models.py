"""Versioned SFT datasets: immutable, named by content hash, with the filter that made them."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from apps.accounts.models import Project
from apps.runs.models import Run
from apps.traces.models import Episode


class Dataset(models.Model):
    """One version. Never changed; the same content under the same name is the same version."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=200)
    version = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)  # of the stored JSONL
    source = models.CharField(max_length=10)  # filter | upload | job
    filter = models.JSONField(default=dict)  # engine.config's dataset section, resolved
    words = models.TextField(blank=True)  # the filter as a sentence
    statistics = models.JSONField(default=dict)
    n_records = models.PositiveIntegerField()
    n_episodes = models.PositiveIntegerField(default=0)
    size_bytes = models.PositiveBigIntegerField()
    storage_key = models.CharField(max_length=300)  # JSONL, gzip
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL)
    run = models.ForeignKey(Run, null=True, blank=True, on_delete=models.SET_NULL)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name", "version"], name="dataset_version_in_project"
            )
        ]
        indexes = [models.Index(fields=["project", "-id"], name="dataset_newest")]


class DatasetEpisode(models.Model):
    """Which episodes a dataset was made of: lineage, and the seeds for the leak check."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="episode_rows")
    episode = models.ForeignKey(
        Episode, null=True, on_delete=models.SET_NULL, related_name="dataset_rows"
    )
    task = models.CharField(max_length=60)
    world_version = models.CharField(max_length=60)
    seed = models.BigIntegerField()
    n_records = models.PositiveIntegerField()

    class Meta:
        indexes = [models.Index(fields=["dataset", "seed"], name="dataset_seeds")]
