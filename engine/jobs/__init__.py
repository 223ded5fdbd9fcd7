"""Run kinds: one module each. `KINDS` maps a run's kind to its function, imported when it is run.

A job function takes a `Job` and returns the values of its result; it raises an EngineError when it
fails. A new kind is a module here and a line in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError

if TYPE_CHECKING:
    from engine.jobs.job import Job

KINDS: dict[str, str] = {
    "eval": "engine.jobs.rollout:run",
    "rollout": "engine.jobs.rollout:run",
    "verify": "engine.jobs.verify:run",
    "fork": "engine.jobs.fork:run",
    "sft": "engine.jobs.sft:run",
    "rl": "engine.jobs.rl:run",
    "base": "engine.jobs.base:run",
    "import": "engine.jobs.import_traces:run",
    "import_model": "engine.jobs.import_model:run",
    "noop": "engine.jobs.noop:run",
}


def load_job(kind: str) -> Callable[[Job], dict[str, Any]]:
    """The function of a run kind.

    Raises ConfigError for an unknown kind or when its packages are not installed.
    """
    if kind not in KINDS:
        raise ConfigError(f"There is no run kind {kind!r}; known: {', '.join(sorted(KINDS))}.")
    module, name = KINDS[kind].split(":")
    try:
        function: Callable[[Job], dict[str, Any]] = getattr(import_module(module), name)
    except ModuleNotFoundError as err:
        if (err.name or "").startswith("engine"):
            raise
        raise ConfigError(
            f"A run of kind {kind} needs the package {err.name}, which is not installed here.",
            hint="`make up` installs the training packages; `make doctor` says how far it is.",
            code="package_missing",
        ) from err
    return function
