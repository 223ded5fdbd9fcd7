"""A training's launch in words before anything is started, for `--dry-run` and the config page."""

from __future__ import annotations

import json
from functools import partial

from apps.accounts.models import Project
from apps.checkpoints.models import Checkpoint
from apps.checkpoints.queries import find_model
from apps.providers.queries import resolve_alias
from apps.runs import storage
from engine.config import Loaded
from engine.config.launching import Cluster, LaunchPlan, plan_launch
from engine.config.model_sizes import ModelSize, size_by_id, size_of_config


def show_launch(
    *, project: Project, loaded: Loaded, cluster: Cluster | None = None
) -> LaunchPlan | None:
    """Processes, devices, commands and memory of a training; None for what trains nothing.

    cluster: instead of the one that the config asks for. Starts and fetches nothing.
    """
    return plan_launch(loaded.config, partial(_size_of, project), cluster)


def _size_of(project: Project, model: str) -> ModelSize | None:
    """The size of a model here by that very id, of a known base, or of what an alias names."""
    found = find_model(project.pk, model)
    if found is not None:
        return _size_of_checkpoint(found)
    known = size_by_id(model)
    aliased = find_model(project.pk, resolve_alias(project=project, model=model))
    return known or (_size_of_checkpoint(aliased) if aliased else None)


def _size_of_checkpoint(checkpoint: Checkpoint) -> ModelSize | None:
    root = checkpoint.weights or checkpoint
    file = root.files.filter(path="config.json").first()
    if file is None:
        return None
    raw = json.loads(storage.read_bytes(file.storage_key, limit=1 << 20))
    return size_of_config(raw) if isinstance(raw, dict) else None
