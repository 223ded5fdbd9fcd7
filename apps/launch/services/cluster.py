"""A training's launch in words before anything is started, and whether it can fit at all.

Shown by `--dry-run` and on the config's page; a launch that cannot fit is refused in these words.
"""

from __future__ import annotations

import json
from functools import partial

from apps.accounts.errors import Refused
from apps.accounts.models import Project
from apps.checkpoints.models import Checkpoint
from apps.checkpoints.queries import find_model
from apps.launch.services.machine import this_machine
from apps.providers.queries import resolve_alias
from apps.runs import storage
from engine.config import Loaded, RlConfig, SftConfig
from engine.config.launch_plan import Cluster, LaunchPlan
from engine.config.launching import asked_cluster, plan_launch, plan_training
from engine.config.model_sizes import ModelSize, size_by_id, size_of_config

HOW_SURE = (
    "import_config --dry-run shows how the figures are made. They are an estimate: "
    "--set compute.ignore_memory=true launches all the same."
)


def show_launch(
    *, project: Project, loaded: Loaded, cluster: Cluster | None = None
) -> LaunchPlan | None:
    """Processes, devices, commands and memory of a training; None for what trains nothing.

    cluster: instead of the one that the config asks for. Starts and fetches nothing.
    """
    memory = this_machine().memory_bytes
    return plan_launch(loaded.config, partial(_size_of, project), cluster, memory_bytes=memory)


def check_fit(config: SftConfig | RlConfig, checkpoint: Checkpoint | None) -> list[str]:
    """Refuse a training that cannot fit where it will run; returns warnings.

    checkpoint: what is really trained, be it an alias. GPUs that the config asks for may be those
    of another worker, so without one here only their memory is judged, and the CPU's is told.
    Raises Refused(422).
    """
    machine, asked = this_machine(), asked_cluster(config)
    size = _size_of_checkpoint(checkpoint) if checkpoint else None

    def plan(cluster: Cluster) -> LaunchPlan:
        return plan_training(config, size, cluster, memory_bytes=machine.memory_bytes)

    if machine.gpu_count:
        here = min(asked.gpus or 1, machine.gpu_count)
        refusals = plan(asked._replace(gpus=here)).refusals
    else:
        refusals = [plan(asked).too_large]
    if any(refusals) and not config.compute.ignore_memory:
        raise Refused("cannot_fit", f"{'; '.join(refusals)}.", HOW_SURE, status=422)
    if asked.gpus and not machine.gpu_count and (lacks := plan(Cluster(1, 0, None)).too_large):
        return [f"Without a GPU it will not end well: {lacks}."]
    return []


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
