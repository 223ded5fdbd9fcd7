"""Configs, runs, shards, attempts, events and metrics.

A run is one launched config; a shard is the part of it that one worker holds; an attempt is one
try at a shard, and its number is the fencing token. The database is the truth: a Celery message is
only a doorbell.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models

from apps.accounts.models import Project


class Config(models.Model):
    """A stored TOML. Never changed: an edit makes a new one that names its parent."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="configs")
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=20)
    toml = models.TextField()
    data = models.JSONField()  # parsed and validated, before resolving
    sha256 = models.CharField(max_length=64)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["project", "-id"], name="config_newest")]


class RunState(models.TextChoices):
    DRAFT = "draft"
    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ShardState(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Need(models.TextChoices):
    """What a worker must offer to take a shard; also the name of the Celery queue."""

    ROLLOUT = "rollout"
    TRAIN = "train"
    SERVE = "serve"


class Run(models.Model):
    """One launched config. `id` is the number people say ("Run 31"); `job_id` is Synth's name."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="runs")
    name = models.CharField(max_length=200)
    job_id = models.CharField(max_length=40, unique=True)  # job_<16 hex>
    kind = models.CharField(max_length=20)
    state = models.CharField(max_length=12, choices=RunState.choices, default=RunState.DRAFT)
    config = models.ForeignKey(Config, null=True, on_delete=models.PROTECT, related_name="runs")
    resolved = models.JSONField(default=dict)  # the frozen config, all defaults filled in
    inputs = models.JSONField(default=dict)  # what names were resolved to: policy, dataset, base
    effects = models.JSONField(default=list)  # keys without effect here: {key, value, reason}
    warnings = models.JSONField(default=list)  # sentences: leaked seeds, aliases used
    leaked_seeds = models.JSONField(default=list)  # eval seeds that the model was trained on
    code_version = models.CharField(max_length=64, blank=True)
    task = models.CharField(max_length=60, blank=True)
    model = models.CharField(max_length=300, blank=True)  # the model id that plays or is trained
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="clones"
    )
    priority = models.SmallIntegerField(default=5)  # 0 first … 9 last
    max_attempts = models.PositiveSmallIntegerField(default=3)
    n_attempts = models.PositiveIntegerField(default=0)
    progress_done = models.PositiveIntegerField(default=0)
    progress_total = models.PositiveIntegerField(default=0)
    progress_unit = models.CharField(max_length=20, default="episodes")
    result = models.JSONField(default=dict)
    error = models.JSONField(null=True, blank=True)  # {code, message, hint}
    event_seq = models.PositiveBigIntegerField(default=0)  # last run-wide seq given out
    retry_budget = models.PositiveIntegerField(default=200)  # model-call retries, shared by shards
    retries_used = models.PositiveIntegerField(default=0)
    # Set by "play broken episodes again": those that began before it are played once more.
    retry_broken_at = models.DateTimeField(null=True, blank=True)
    notes = models.TextField(blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    queued_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["project", "-id"], name="run_newest"),
            models.Index(fields=["project", "kind", "-id"], name="run_by_kind"),
            models.Index(fields=["state"], name="run_by_state"),
            models.Index(fields=["project", "model"], name="run_by_model"),
        ]


class RunTag(models.Model):
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="tags")
    name = models.CharField(max_length=60)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "name"], name="tag_once_per_run")]
        indexes = [models.Index(fields=["name"], name="tag_by_name")]


class RunInput(models.Model):
    """What a run took in, by hash: the edges of the lineage graph."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="input_rows")
    kind = models.CharField(max_length=20)  # dataset | checkpoint | episode | run
    object_id = models.BigIntegerField()
    role = models.CharField(max_length=40)  # data, base, policy, resume, original
    sha256 = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["run", "kind", "object_id", "role"], name="input_once_per_role"
            )
        ]
        indexes = [models.Index(fields=["kind", "object_id"], name="input_used_by")]


class Shard(models.Model):
    """The part of a run that one worker holds. `token` is the number of its newest attempt."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="shards")
    index = models.PositiveIntegerField()
    need = models.CharField(max_length=10, choices=Need.choices, default=Need.ROLLOUT)
    state = models.CharField(max_length=12, choices=ShardState.choices, default=ShardState.QUEUED)
    token = models.PositiveIntegerField(default=0)
    worker = models.CharField(max_length=120, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    queued_at = models.DateTimeField()
    not_before = models.DateTimeField(null=True, blank=True)  # back-off after a failed attempt
    n_failures = models.PositiveSmallIntegerField(default=0)  # attempts that failed by themselves
    episodes = models.JSONField(default=list)  # [{seed, repeat}], the shard's share
    progress_done = models.PositiveIntegerField(default=0)
    progress_total = models.PositiveIntegerField(default=0)
    result = models.JSONField(default=dict)
    error = models.JSONField(null=True, blank=True)
    waiting_for = models.CharField(max_length=200, blank=True)  # in words, for the queue page

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "index"], name="shard_once_per_run")]
        indexes = [
            models.Index(fields=["state", "need", "queued_at"], name="shard_to_claim"),
            models.Index(fields=["state", "lease_until"], name="shard_lost_lease"),
        ]


class Attempt(models.Model):
    """One try at a shard. `number` is the fencing token; ingest goes on behind `ingested_seq`."""

    shard = models.ForeignKey(Shard, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    worker = models.CharField(max_length=120)
    directory = models.CharField(max_length=500, blank=True)
    ingested_seq = models.PositiveBigIntegerField(default=0)
    ingested_offset = models.PositiveBigIntegerField(default=0)  # bytes of events.jsonl
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    exit_code = models.IntegerField(null=True, blank=True)  # negative: the signal
    outcome = models.CharField(
        max_length=20, blank=True
    )  # succeeded failed cancelled lost handed_back
    error = models.JSONField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["shard", "number"], name="attempt_once_per_token")
        ]


class Event(models.Model):
    """What happened. `seq` is run-wide, shared with metric points, and without gaps."""

    # The unique constraints below begin with run and attempt: they are the indexes.
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events", db_index=False)
    seq = models.PositiveBigIntegerField()
    attempt = models.ForeignKey(  # None: the web's own
        Attempt, null=True, on_delete=models.CASCADE, db_index=False
    )
    attempt_seq = models.PositiveBigIntegerField(null=True)
    type = models.CharField(max_length=12)
    data = models.JSONField()
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "seq"], name="event_seq_in_run"),
            models.UniqueConstraint(
                fields=["attempt", "attempt_seq"], name="event_once_per_attempt"
            ),
        ]


class MetricSeries(models.Model):
    """One named curve of a run, with what lists and tiles show of it."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="series")
    name = models.CharField(max_length=120)
    n_points = models.PositiveIntegerField(default=0)
    last_step = models.BigIntegerField(default=0)
    last_value = models.FloatField(default=0.0)
    min_value = models.FloatField(default=0.0)
    max_value = models.FloatField(default=0.0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "name"], name="series_once_per_run")]


class MetricPoint(models.Model):
    """One value. `seq` is the run-wide seq of its event: the cursor of live curves."""

    # The indexes below begin with the series: one of its own would only slow down every insert.
    series = models.ForeignKey(
        MetricSeries, on_delete=models.CASCADE, related_name="points", db_index=False
    )
    step = models.BigIntegerField()
    value = models.FloatField()
    at = models.DateTimeField()
    seq = models.PositiveBigIntegerField()

    class Meta:
        indexes = [
            # With the value, so that a curve is read from the index alone.
            models.Index(fields=["series", "step", "value"], name="point_by_step"),
            models.Index(fields=["series", "seq"], name="point_by_seq"),
        ]


class Artifact(models.Model):
    """A file of a run, in storage. Its row is made in the transaction that ingests its event."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="artifacts")
    attempt = models.ForeignKey(Attempt, null=True, on_delete=models.SET_NULL)
    role = models.CharField(max_length=40)
    path = models.CharField(max_length=300)  # as the engine named it
    sha256 = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField()
    storage_key = models.CharField(max_length=300)


class LiveView(models.Model):
    """The newest pictures of a running episode; deleted when its payload is stored."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="live_views")
    shard = models.ForeignKey(Shard, on_delete=models.CASCADE)
    key = models.CharField(max_length=200)  # EpisodeKey as compact JSON
    seed = models.BigIntegerField()
    model = models.CharField(max_length=300, blank=True)
    # {first_step, views: [base64, …], rewards, unlocks: [[name, step]], n_turns, call}; of views
    # and rewards the newest: older ones are LivePast, their sum is past_return
    data = models.JSONField(default=dict)
    version = models.PositiveIntegerField(default=0)  # counts batches; a reader's cursor
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="live_once_per_episode")]
        indexes = [models.Index(fields=["updated_at"], name="live_by_age")]


class LivePast(models.Model):
    """Older views of a running episode. Its live row is written four times a second, so it holds
    only the newest."""

    live = models.ForeignKey(LiveView, on_delete=models.CASCADE, related_name="past")
    first_step = models.PositiveIntegerField()
    data = models.JSONField()  # {views, rewards}


class WorkerNode(models.Model):
    """A worker that reported. Slots: how many shards of each need it runs at once."""

    name = models.CharField(max_length=120, unique=True)
    host = models.CharField(max_length=200)
    pid = models.PositiveIntegerField()
    version = models.CharField(max_length=64, blank=True)
    slots = models.JSONField(default=dict)  # {"rollout": 1, "train": 1, "serve": 1}
    busy = models.JSONField(default=dict)
    can_train = models.BooleanField(default=False)  # torch and trl are installed
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
