"""What Synth's clients name and we would not know otherwise: files, jobs, environment keys.

A file is a dataset of ours, a job a run (or, where the starting model has to be made first, a
pipeline whose last stage is that run); these rows hold only what the clients sent with them.
"""

from __future__ import annotations

import secrets

from django.conf import settings
from django.db import models

from apps.accounts.models import Project
from apps.datasets.models import Dataset
from apps.launch.models import Pipeline
from apps.runs.models import Config, Run


def new_file_id() -> str:
    """The name of a new file: `file-<12 hex>`."""
    return f"file-{secrets.token_hex(6)}"


def new_job_id() -> str:
    """The name of a job that has no run yet: `job_<16 hex>`, as runs have."""
    return f"job_{secrets.token_hex(8)}"


class SynthFile(models.Model):
    """One upload. The same content twice is two files and one dataset."""

    file_id = models.CharField(max_length=40, unique=True, default=new_file_id)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="synth_files")
    dataset = models.ForeignKey(Dataset, null=True, on_delete=models.SET_NULL, related_name="+")
    purpose = models.CharField(max_length=60)
    filename = models.CharField(max_length=200)
    size_bytes = models.PositiveBigIntegerField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["project", "-id"], name="synth_file_newest")]


class SynthJob(models.Model):
    """One job as a client asked for it.

    `run` is set from the beginning, but where the starting model has not been made yet: then the
    config waits, and starting the job gives a `pipeline`.
    """

    job_id = models.CharField(max_length=40, unique=True, default=new_job_id)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="synth_jobs")
    kind = models.CharField(max_length=20)  # sft | rl
    model = models.CharField(max_length=300)  # as it was asked for
    config = models.ForeignKey(Config, null=True, on_delete=models.PROTECT, related_name="+")
    run = models.ForeignKey(Run, null=True, on_delete=models.CASCADE, related_name="synth_jobs")
    pipeline = models.ForeignKey(Pipeline, null=True, on_delete=models.CASCADE, related_name="+")
    training_file = models.CharField(max_length=40, blank=True)  # a file_id; the file may be gone
    hyperparameters = models.JSONField(null=True)
    metadata = models.JSONField(default=dict)
    cancelled_at = models.DateTimeField(null=True)  # before it was started
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            models.Index(fields=["project", "kind", "-id"], name="synth_job_newest"),
            models.Index(fields=["project", "training_file"], name="synth_job_by_file"),
        ]


class EnvironmentKey(models.Model):
    """The key that a project's task apps want, as a client sent it (sealed); encrypted here."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="environment_keys")
    name = models.CharField(max_length=60)
    encrypted_key = models.TextField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"], name="environment_key_once_per_project"
            )
        ]
