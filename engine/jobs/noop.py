"""Run kind `noop`: work that only counts, to test how runs are started, watched and ended.

config: n_steps, step_s (seconds a step), fail_at and crash_at (step at which it fails or dies).
"""

from __future__ import annotations

import os
import signal
from typing import Any

from engine.errors import TrainingError
from engine.jobs.job import Job


def run(job: Job) -> dict[str, Any]:
    """Count to n_steps. Raises Cancelled between steps, TrainingError at fail_at."""
    n_steps = int(job.config.get("n_steps", 10))
    step_s = float(job.config.get("step_s", 0.0))
    for step in range(1, n_steps + 1):
        job.cancelled.wait(step_s)
        job.cancelled.check()
        if step == job.config.get("crash_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        if step == job.config.get("fail_at"):
            raise TrainingError(f"Step {step} failed, as its config asks.")
        job.values["steps"] = step
        job.events.metric(step, {"noop.step": step})
        job.progress(step, n_steps, "steps")
    return job.values
