"""The model registry: checkpoints with their files and lineage, and the servers that load them."""

from __future__ import annotations

from django.db import models

from apps.accounts.models import Project
from apps.runs.models import Run


class Checkpoint(models.Model):
    """A Hugging Face folder in storage. `uid` is its name in URLs, `model_id` in configs.

    `base` is the checkpoint it was trained from; `weights` the one whose weights it needs, when it
    is an adapter (its own files are then the adapter alone). `base_model` is the id the config
    asked for and `base_model_resolved` what really trained (they differ only through an operator's
    alias).
    """

    uid = models.CharField(max_length=40, unique=True)  # ck_<12 hex>
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="checkpoints")
    model_id = models.CharField(max_length=300)
    kind = models.CharField(max_length=10)  # base | sft | rl | import (from outside)
    method = models.CharField(max_length=10, default="full")  # full | lora | qlora
    base = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT)
    weights = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="adapters"
    )
    base_model = models.CharField(max_length=300, blank=True)
    base_model_resolved = models.CharField(max_length=300, blank=True)
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="checkpoints")
    step = models.BigIntegerField(default=0)
    final = models.BooleanField(default=True)  # False: serves resume, hidden from lists
    metrics = models.JSONField(default=dict)
    # [[task, world_version, [[first, last], …]], …]: every seed that it or its ancestors saw
    trained_seeds = models.JSONField(default=list)
    size_bytes = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "model_id"], name="model_id_in_project")
        ]
        indexes = [models.Index(fields=["project", "-id"], name="checkpoint_newest")]


class CheckpointFile(models.Model):
    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.CASCADE, related_name="files")
    path = models.CharField(max_length=300)
    sha256 = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField()
    storage_key = models.CharField(max_length=300)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["checkpoint", "path"], name="file_once_per_checkpoint")
        ]


class ServerState(models.TextChoices):
    WANTED = "wanted"  # nobody runs it yet
    STARTING = "starting"
    READY = "ready"
    STOPPED = "stopped"
    FAILED = "failed"


class ModelServer(models.Model):
    """A serving process, held by a worker's serve slot under a lease like a shard's."""

    uid = models.CharField(max_length=40, unique=True)
    state = models.CharField(max_length=10, choices=ServerState.choices, default=ServerState.WANTED)
    worker = models.CharField(max_length=120, blank=True)
    token = models.PositiveIntegerField(default=0)  # fencing token
    lease_until = models.DateTimeField(null=True, blank=True)
    address = models.CharField(max_length=200, blank=True)  # http://127.0.0.1:43121
    secret = models.TextField(blank=True)  # encrypted bearer token of this process
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["state"], name="server_by_state")]


class ServedModel(models.Model):
    """That a checkpoint is wanted, and where it is loaded. The server's supervisor reads this."""

    checkpoint = models.OneToOneField(Checkpoint, on_delete=models.CASCADE, related_name="served")
    server = models.ForeignKey(
        ModelServer, null=True, on_delete=models.SET_NULL, related_name="models"
    )
    state = models.CharField(max_length=10, choices=ServerState.choices, default=ServerState.WANTED)
    error = models.TextField(blank=True)
    wanted_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)
