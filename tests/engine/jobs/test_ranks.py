"""One fine-tuning in two processes on the CPU (gloo), started as a run is."""

from __future__ import annotations

import json
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


def shared(directory: Path, resume: dict[str, Any] | None = None) -> Path:
    """The run with weights shared among its two processes, measured, saved after two steps."""
    path = directory / "config.json"
    raw = json.loads(path.read_text())
    raw["config"]["hyperparameters"]["parallelism"] = {"fsdp": True}
    raw["config"]["training"] |= {"save_steps": 2, "validation": {"eval_steps": 2,
                                  "save_best_model_at_end": True}}  # fmt: skip
    path.write_text(json.dumps({**raw, "resume": resume}))
    return directory


def test_two_processes_that_share_the_weights_take_the_steps_of_one_also_when_resumed(
    tmp_path: Path, inputs: dict[str, Any]
) -> None:
    """FSDP over gloo: launch, validation, checkpoints and the gathered model, as on GPUs."""
    halves = {"max_steps": 4, "batch_size": 4, "cpu_processes": 2}
    one = prepare(tmp_path / "1", inputs, max_steps=4, batch_size=8)
    two = shared(prepare(tmp_path / "2", inputs, **halves))
    assert start(one).wait(timeout=180) == 0
    assert start(two).wait(timeout=240) == 0, events(two, "result")
    said = " ".join(log["message"] for log in events(two, "log"))
    assert "ACCELERATE_USE_FSDP=true" in said
    assert "gathered the weights" in said
    saved = next(c for c in events(two, "checkpoint") if c["step"] == 2 and not c["final"])
    resume = {"path": str(two / saved["path"]), "step": 2, "files": saved["files"]}
    three = shared(prepare(tmp_path / "3", inputs, **halves), resume)
    assert start(three).wait(timeout=240) == 0, events(three, "result")
    alone, together, resumed = (
        load_file(d / "checkpoint" / "model.safetensors") for d in (one, two, three)
    )
    assert alone.keys() == together.keys()
    for name, weight in alone.items():
        torch.testing.assert_close(weight, together[name], atol=5e-3, rtol=0)
        torch.testing.assert_close(together[name], resumed[name], atol=1e-6, rtol=0)
