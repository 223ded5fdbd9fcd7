"""Trainings from reward as processes: start one, read what it said, find where it can go on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from engine.__main__ import run
from engine.events import read_events
from engine.jobs.job import open_job
from engine.lease import Cancellation


def start(directory: Path) -> subprocess.Popen[bytes]:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-m", "engine", str(directory)], env=env)


def run_here(directory: Path) -> int:
    """The exit status of `python -m engine`, which is run in this process: torch and peft are
    loaded here already. For promises that need no process of their own."""
    before = dict(os.environ)
    try:
        return run(open_job(directory, Cancellation(), console=False))
    finally:
        os.environ.clear()
        os.environ.update(before)


def events(directory: Path, type_: str) -> list[dict[str, Any]]:
    return [e.data for e, _ in read_events(directory / "events.jsonl") if e.type == type_]


def wait_for(directory: Path, type_: str, n: int = 1, deadline_s: float = 120) -> None:
    end = time.monotonic() + deadline_s
    while len(events(directory, type_)) < n:
        assert time.monotonic() < end, f"no {type_} event within {deadline_s} s"
        time.sleep(0.02)


def final_weights(directory: Path) -> dict[str, Any]:
    weights: dict[str, Any] = load_file(directory / "checkpoint" / "model.safetensors")
    return weights


def newest(directory: Path) -> dict[str, Any] | None:
    """What the next attempt is given: the newest announced checkpoint that is whole."""
    for data in reversed(events(directory, "checkpoint")):
        if not data["final"]:
            return {
                "path": str(directory / data["path"]),
                **{k: data[k] for k in ("step", "files")},
            }
    return None


def losses(directory: Path) -> dict[int, float]:
    return {m["step"]: m["values"]["train.loss"] for m in events(directory, "metric")}
