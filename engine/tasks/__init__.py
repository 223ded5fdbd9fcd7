"""Task apps by name. A new one is a folder here and a line in `_TASKS`.

The module of a task is imported when it is first asked for: a worker that plays Crafter never
loads Math, and the web loads neither.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import Any

from engine.errors import ConfigError
from engine.tasks.base import Task
from engine.tasks.face import TaskFace

# canonical name -> (module:class, aliases)
_TASKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "crafter": (
        "engine.tasks.crafter.task:CrafterTask",
        ("grpo-crafter", "crafter-task", "CrafterClassic", "crafter_classic"),
    ),
    "math": (
        "engine.tasks.math.task:MathTask",
        ("math-single-step", "math_single_step"),
    ),
}


def task_names() -> list[str]:
    """The canonical names."""
    return sorted(_TASKS)


def canonical_name(name: str) -> str:
    """The canonical name of a task given by name or alias. Raises ConfigError listing the known."""
    wanted = name.strip().lower().replace("_", "-")
    for known, (_, aliases) in _TASKS.items():
        if wanted in {alias.lower().replace("_", "-") for alias in (known, *aliases)}:
            return known
    raise ConfigError(f"task {name!r} is unknown; known: {', '.join(task_names())}")


def get_task(name: str) -> Task:
    """The task of that name or alias; one instance a process. Raises ConfigError."""
    return _load(canonical_name(name))


def names_of(name: str) -> tuple[str, ...]:
    """Every name that a task goes by, the canonical one first. Raises ConfigError."""
    known = canonical_name(name)
    return (known, *_TASKS[known][1])


def get_face(name: str) -> TaskFace:
    """How a task shows itself over HTTP. Raises ConfigError for an unknown one."""
    package = _TASKS[canonical_name(name)][0].rpartition(".")[0]
    face: TaskFace = importlib.import_module(f"{package}.face").FACE
    return face


def achievements_of(name: str) -> tuple[str, ...]:
    """A task's achievements without loading its game. Raises ConfigError for an unknown task."""
    package = _TASKS[canonical_name(name)][0].rpartition(".")[0]
    names: tuple[str, ...] = importlib.import_module(f"{package}.names").ACHIEVEMENTS
    return names


def world_of(name: str, config: Mapping[str, Any]) -> str:
    """The world version that a run's resolved config plays, "" where its seeds say it all.

    So a seed of one split is not taken for the same seed of another. Loads no game.
    Raises ConfigError for an unknown task.
    """
    package = _TASKS[canonical_name(name)][0].rpartition(".")[0]
    find = getattr(importlib.import_module(f"{package}.names"), "world_of_config", None)
    return str(find(config)) if find else ""


def has_achievements(name: str) -> bool:
    """Whether a task is scored by achievements (else by the share of solved episodes).

    A task that this version does not know is taken for a game with some.
    """
    try:
        return bool(achievements_of(name))
    except ConfigError:
        return True


@functools.cache
def _load(name: str) -> Task:
    module_name, _, class_name = _TASKS[name][0].partition(":")
    task: Task = getattr(importlib.import_module(module_name), class_name)()
    return task
