"""Pipelines: runs and datasets that wait for each other."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from apps.accounts.models import Project
from apps.datasets.models import Dataset
from apps.runs.models import Config, Run


class PipelineState(models.TextChoices):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Pipeline(models.Model):
    """One launched `[stages]` config."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="pipelines")
    name = models.CharField(max_length=200)
    config = models.ForeignKey(Config, on_delete=models.PROTECT, related_name="pipelines")
    state = models.CharField(
        max_length=12, choices=PipelineState.choices, default=PipelineState.RUNNING
    )
    error = models.JSONField(null=True, blank=True)
    result = models.JSONField(default=dict)  # the table: rows with mean, ci, paired difference
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["project", "-id"], name="pipeline_newest"),
            models.Index(fields=["state"], name="pipeline_by_state"),
        ]


class StageState(models.TextChoices):
    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Stage(models.Model):
    """One stage: a run, or a dataset made from earlier stages' episodes."""

    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="stages")
    name = models.CharField(max_length=60)
    index = models.PositiveIntegerField()
    kind = models.CharField(max_length=20)  # a run kind, or "dataset"
    data = models.JSONField()  # its config before names are resolved
    needs = models.JSONField(default=list)  # names of stages that must have succeeded
    state = models.CharField(max_length=12, choices=StageState.choices, default=StageState.WAITING)
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="stages")
    dataset = models.ForeignKey(Dataset, null=True, on_delete=models.SET_NULL)
    error = models.JSONField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["pipeline", "name"], name="stage_once_per_pipeline")
        ]


class Webhook(models.Model):
    """An address that is told when a run or pipeline of the project ends."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="webhooks")
    url = models.CharField(max_length=500)
    encrypted_secret = models.TextField()  # signs what is sent
    seen_until = models.DateTimeField()  # what ended before has been noticed
    created_at = models.DateTimeField(auto_now_add=True)


class Delivery(models.Model):
    """One thing that one webhook is told, and what it answered last."""

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=40)  # run.succeeded, pipeline.failed, test
    target = models.CharField(max_length=40)  # run:31
    ended_at = models.DateTimeField()  # a run that is resumed ends again
    body = models.JSONField()
    n_tries = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True)  # None: over, well or not
    ok = models.BooleanField(default=False)
    status = models.PositiveSmallIntegerField(default=0)  # of HTTP; 0: no answer came
    answer = models.CharField(max_length=300, blank=True)  # its first words, or why none came
    tried_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["webhook", "target", "ended_at"], name="told_once_per_end"
            )
        ]
        indexes = [models.Index(fields=["next_try_at"], name="delivery_due")]
