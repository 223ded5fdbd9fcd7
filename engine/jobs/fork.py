"""Run kind `fork`: what would another policy have done from this step on?

The stored episode is played again up to the step (its states are compared on the way), then each
branch goes on by itself through the player that evals use. The original is only read.

inputs: `policy` as an eval, and `original`: {"path", "sha256", "step"}.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from engine.errors import ConfigError
from engine.jobs.job import Job
from engine.jobs.rollout import PlayJob
from engine.jobs.verify import read_trace
from engine.rollout.opening import open_at


def run(job: Job) -> dict[str, Any]:
    """Play the branches and return their figures. Raises as an eval does.

    ConfigError when the original cannot be read or does not have the step.
    """
    original = job.inputs.get("original")
    if not isinstance(original, dict):
        raise ConfigError("A fork needs inputs.original: {path, sha256, step}.")

    trace = read_trace(Path(original["path"]), original.get("sha256"))
    return asyncio.run(PlayJob(job, open_at(trace, int(original["step"]))).run())
