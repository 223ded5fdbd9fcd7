"""What a model was made to read, for configs that do not say how the game is shown.

A small model understands only the form that it was trained on: on another one every call of it
fails. Who writes `observation` gets what is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.checkpoints.models import Checkpoint
from apps.runs.models import Run
from apps.traces.models import Episode


def observation_of(checkpoint: Checkpoint) -> str:
    """How the run that made a checkpoint showed it the game; "" where nobody knows.

    A fine-tuned model reads what its dataset's games showed, if all of them showed the same.
    """
    run = checkpoint.run
    if run is None or run.kind not in ("base", "rl", "sft"):
        return ""
    if run.kind != "sft":
        return _shown(run.resolved)
    dataset = run.inputs.get("data", {}).get("dataset_id")
    if dataset is None:
        return ""
    players = Episode.objects.filter(dataset_rows__dataset_id=dataset).values("run_id").distinct()
    played = Run.objects.filter(pk__in=players).values_list("resolved", flat=True)
    shown = {_shown(values) for values in played}
    return shown.pop() if len(shown) == 1 else ""


def _shown(resolved: Mapping[str, Any]) -> str:
    """`observation` of a frozen config: of its rollout in a training from reward."""
    rollout = resolved.get("rollout") or {}
    return str(rollout.get("observation") or resolved.get("observation") or "")
