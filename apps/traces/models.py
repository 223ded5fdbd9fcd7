"""Episodes, their turns, unlocks and labels. Steps are never rows: they are in the payload."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from apps.accounts.models import Project
from apps.runs.models import Run, Shard


class Episode(models.Model):
    """One played game: what lists, filters and charts need. The whole trace is in storage."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="episodes")
    shard = models.ForeignKey(Shard, null=True, on_delete=models.SET_NULL)
    task = models.CharField(max_length=60)
    world_version = models.CharField(max_length=60)
    seed = models.BigIntegerField()
    repeat = models.PositiveIntegerField(default=0)
    policy_version = models.PositiveIntegerField(default=0)
    policy = models.CharField(max_length=60)
    model = models.CharField(max_length=300, blank=True)
    provider = models.CharField(max_length=60, blank=True)
    temperature = models.FloatField(default=1.0)
    episode_return = models.FloatField()
    outcome_reward = models.FloatField()
    step_reward = models.FloatField(default=0.0)  # sum of the shaped rewards of its decisions
    n_achievements = models.PositiveIntegerField()
    n_steps = models.PositiveIntegerField()
    n_turns = models.PositiveIntegerField()
    n_failed_calls = models.PositiveIntegerField(default=0)
    ended = models.CharField(max_length=20)  # engine.traces.record.ENDINGS
    ending = models.CharField(max_length=200, blank=True)
    error = models.TextField(blank=True)
    broken = models.BooleanField(default=False)  # model or task error: data, but no score
    prompt_tokens = models.PositiveBigIntegerField(default=0)
    completion_tokens = models.PositiveBigIntegerField(default=0)
    cost_usd = models.FloatField(default=0.0)
    started_at = models.DateTimeField()
    duration_s = models.FloatField(default=0.0)
    final_hash = models.CharField(max_length=16, blank=True)
    final_view = models.TextField(blank=True)  # base64 view: the thumbnail
    storage_key = models.CharField(max_length=300)
    payload_sha256 = models.CharField(max_length=64)
    payload_size = models.PositiveBigIntegerField()
    verified = models.BooleanField(null=True, default=None)  # None: not checked yet
    verify_note = models.CharField(max_length=300, blank=True)
    forked_from = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL)
    forked_at_step = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            # Ingesting the same episode twice (two attempts) keeps the first.
            models.UniqueConstraint(
                fields=["run", "task", "world_version", "seed", "repeat", "policy_version"],
                name="episode_once_per_run",
            )
        ]
        indexes = [
            models.Index(fields=["run", "id"], name="episode_of_run"),
            models.Index(fields=["run", "n_achievements", "id"], name="episode_by_score"),
            models.Index(fields=["model", "id"], name="episode_by_model"),
            models.Index(fields=["n_achievements", "id"], name="episode_best"),
        ]


class EpisodeTurn(models.Model):
    """One small row a turn, for the filters of exports."""

    episode = models.ForeignKey(Episode, on_delete=models.CASCADE, related_name="turns")
    index = models.PositiveIntegerField()
    actions = models.CharField(max_length=300, blank=True)  # names, space separated
    error_code = models.CharField(max_length=40, blank=True)
    unlocked = models.CharField(max_length=300, blank=True)  # names, space separated
    reward = models.FloatField(default=0.0)
    n_steps = models.PositiveIntegerField(default=0)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    queue_ms = models.FloatField(default=0.0)
    model_ms = models.FloatField(default=0.0)
    env_ms = models.FloatField(default=0.0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["episode", "index"], name="turn_once_per_episode")
        ]


class Unlock(models.Model):
    """An achievement of an episode: at which step and in which turn."""

    episode = models.ForeignKey(Episode, on_delete=models.CASCADE, related_name="unlocks")
    name = models.CharField(max_length=60)
    step = models.PositiveIntegerField()
    turn = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["episode", "name"], name="unlock_once_per_episode")
        ]
        indexes = [models.Index(fields=["name", "episode"], name="unlock_by_name")]


class ImportedSession(models.Model):
    """The session of tracing v3 that an episode came from: the same one is not imported twice."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    episode = models.OneToOneField(Episode, on_delete=models.CASCADE, related_name="origin")
    session_id = models.CharField(max_length=300)
    sha256 = models.CharField(max_length=64)  # of all its rows

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "sha256"], name="session_once_per_project")
        ]


class Label(models.Model):
    """A word that a person put on an episode."""

    episode = models.ForeignKey(Episode, on_delete=models.CASCADE, related_name="labels")
    name = models.CharField(max_length=60)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["episode", "name"], name="label_once_per_episode")
        ]
        indexes = [models.Index(fields=["name", "episode"], name="label_by_name")]
