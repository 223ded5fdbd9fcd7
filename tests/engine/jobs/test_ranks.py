"""One fine-tuning in two processes on the CPU (gloo), started as a run is."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.engine.jobs.test_sft import events, inputs, prepare, start, wait_for

pytestmark = pytest.mark.slow
__all__ = ["inputs"]


def test_two_processes_with_half_the_batch_take_the_steps_of_one(
    tmp_path: Path, inputs: dict[str, Any]
) -> None:
    one = prepare(tmp_path / "1", inputs, max_steps=4, batch_size=8)
    two = prepare(tmp_path / "2", inputs, max_steps=4, batch_size=4, cpu_processes=2)
    assert start(one).wait(timeout=180) == 0
    assert start(two).wait(timeout=240) == 0, events(two, "result")
    assert any("torchrun" in log["message"] for log in events(two, "log"))
    assert [m["step"] for m in events(two, "metric")] == [m["step"] for m in events(one, "metric")]
    assert events(two, "result")[-1]["values"]["steps"] == 4
    alone, together = (load_file(d / "checkpoint" / "model.safetensors") for d in (one, two))
    for name, weight in alone.items():
        torch.testing.assert_close(weight, together[name], atol=5e-3, rtol=0)


def test_a_cancel_reaches_every_process_and_keeps_the_checkpoint(
    tmp_path: Path, inputs: dict[str, Any]
) -> None:
    directory = prepare(tmp_path / "run", inputs, max_steps=100_000, cpu_processes=2)
    process = start(directory)
    wait_for(directory, "metric")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=40) == 4, events(directory, "result")
    (kept,) = events(directory, "checkpoint")
    assert not kept["final"]
