"""One question to everything in a project: runs, games, datasets, models, configs, pipelines."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from django.db.models import Q, QuerySet

from apps.accounts.models import Project
from apps.checkpoints.models import Checkpoint
from apps.datasets.models import Dataset
from apps.launch.models import Pipeline
from apps.runs.models import Config, Run
from apps.traces.models import Episode

Named = TypeVar("Named", Run, Dataset, Pipeline, Config)
LIMIT = 6  # of each kind
MAX_NUMBER = 2**62


class Hit(NamedTuple):
    """Something found: `kind` names its page, `key` is its number (a checkpoint's uid there)."""

    kind: str
    key: str
    title: str
    detail: str


def search(*, project: Project, words: str) -> list[Hit]:
    """What has these words in its name, model or label, newest first, at most 6 of a kind.

    A number finds what carries it. Six queries, each walking an index of its project; none
    for no words.
    """
    words = " ".join(words.split())[:100]
    if not words or "\0" in words:
        return []
    number = int(words) if words.isascii() and words.isdigit() else None
    if number is not None and number >= MAX_NUMBER:
        return []
    return [
        *_runs(project, words, number),
        *_games(project, words, number),
        *_checkpoints(project, words),
        *_datasets(project, words, number),
        *_pipelines(project, words, number),
        *_configs(project, words, number),
    ]


def _newest(rows: QuerySet[Named], match: Q, number: int | None) -> list[Named]:
    if number is not None:
        match |= Q(pk=number)
    return list(rows.filter(match).order_by("-id")[:LIMIT])


def _runs(project: Project, words: str, number: int | None) -> list[Hit]:
    match = Q(name__icontains=words) | Q(model__icontains=words) | Q(job_id=words)
    rows = _newest(Run.objects.filter(project=project), match, number)
    return [Hit("run", str(row.pk), row.name, f"{row.kind}, {row.state}") for row in rows]


def _games(project: Project, words: str, number: int | None) -> list[Hit]:
    rows = Episode.objects.filter(run__project=project)
    match = Q(labels__name__iexact=words)
    if number is not None:
        match = Q(pk=number) | Q(seed=number)
    found = rows.filter(match).order_by("-id")[:LIMIT]
    return [
        Hit(
            "trace", str(row.pk), f"Seed {row.seed}", f"{row.model or row.policy}, run {row.run_id}"
        )
        for row in found
    ]


def _checkpoints(project: Project, words: str) -> list[Hit]:
    rows = Checkpoint.objects.filter(project=project, deleted_at=None, final=True)
    found = rows.filter(Q(model_id__icontains=words) | Q(uid=words)).order_by("-id")[:LIMIT]
    return [Hit("checkpoint", row.uid, row.model_id, row.kind) for row in found]


def _datasets(project: Project, words: str, number: int | None) -> list[Hit]:
    rows = _newest(Dataset.objects.filter(project=project), Q(name__icontains=words), number)
    return [
        Hit("dataset", str(row.pk), f"{row.name} v{row.version}", f"{row.n_records:,} records")
        for row in rows
    ]


def _pipelines(project: Project, words: str, number: int | None) -> list[Hit]:
    rows = _newest(Pipeline.objects.filter(project=project), Q(name__icontains=words), number)
    return [Hit("pipeline", str(row.pk), row.name, row.state) for row in rows]


def _configs(project: Project, words: str, number: int | None) -> list[Hit]:
    rows = _newest(Config.objects.filter(project=project), Q(name__icontains=words), number)
    return [Hit("config", str(row.pk), row.name, row.kind) for row in rows]
