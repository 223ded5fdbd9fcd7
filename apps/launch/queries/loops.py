"""The three loops that a button starts: what each does, how long it takes, what it lacks here."""

from __future__ import annotations

from statistics import median
from typing import NamedTuple

from django.conf import settings

from apps.accounts.models import Project
from apps.checkpoints.queries import find_model
from apps.launch.models import Pipeline, PipelineState
from apps.launch.services.machine import this_machine
from apps.providers.queries import resolve_alias

MEASURED_RUNS = 5  # the newest that an estimate is the middle of
GPU_MODEL = "Qwen/Qwen3-4B"


class Loop(NamedTuple):
    """A shipped pipeline, as a button offers it."""

    key: str
    file: str
    title: str
    words: str
    icon: str
    documented_s: int | None  # on two CPU cores, as the file says; None: never measured


class LoopChoice(NamedTuple):
    """A loop on this machine. `n_measured` counts the finished loops behind `seconds`."""

    loop: Loop
    seconds: float | None
    n_measured: int
    missing: list[str]  # what has to be there first, in sentences

    @property
    def may_start(self) -> bool:
        return not self.missing


LOOPS = (
    Loop("demo", "loop_demo.toml", "Demo", "play, imitate, play again: few games",
         "sapling", 180),
    Loop("loop", "loop_small.toml", "Laptop", "play, imitate, learn from reward, on two CPU cores",
         "furnace", 1200),
    Loop("gpu", "loop_gpu.toml", "GPU", f"the same road with {GPU_MODEL}; not yet run on a GPU",
         "diamond", None),
)  # fmt: skip


def list_loops(*, project: Project) -> list[LoopChoice]:
    """The choices with an estimate: measured here where the very config has run, else documented.

    Two queries, and two more for the model of the GPU.
    """
    texts = {loop.key: _text(loop.file) for loop in LOOPS}
    took = _measured(project, texts)
    return [
        LoopChoice(
            loop,
            median(took[loop.key]) if took[loop.key] else loop.documented_s,
            len(took[loop.key]),
            _missing(project) if loop.key == "gpu" else [],
        )
        for loop in LOOPS
    ]


def _measured(project: Project, texts: dict[str, str]) -> dict[str, list[float]]:
    """Seconds of the newest loops that ran through, by key; continued ones count as they went."""
    rows = Pipeline.objects.filter(
        project=project, state=PipelineState.SUCCEEDED, config__toml__in=texts.values()
    )
    found: dict[str, list[float]] = {key: [] for key in texts}
    ended = rows.exclude(ended_at=None).order_by("-id")
    for text, start, end in ended.values_list("config__toml", "created_at", "ended_at")[:50]:
        key = next(key for key, known in texts.items() if known == text)
        if end and len(found[key]) < MEASURED_RUNS:
            found[key].append((end - start).total_seconds())
    return found


def _missing(project: Project) -> list[str]:
    """Why the loop of the GPU cannot start on this machine."""
    missing = []
    if not this_machine().gpu_count:
        missing.append("This machine has no NVIDIA GPU.")
    model = resolve_alias(project=project, model=GPU_MODEL)
    if find_model(project.pk, model) is None:
        missing.append(f"{GPU_MODEL} is not among the checkpoints here.")
    return missing


def _text(file: str) -> str:
    return (settings.BASE_DIR / "configs" / file).read_text(encoding="utf-8")
