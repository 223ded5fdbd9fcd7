"""Fine-tuning as a run: a real process, a real checkpoint, real signals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from engine.train.card import Card, write_final
from engine.train.checkpoints import hash_file
from tests.engine.jobs.processes import events, run_here, start, wait_for
from tests.engine.train.cast import lessons, tiny_model, tiny_tokenizer, write_jsonl

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("inputs")
    tokenizer = tiny_tokenizer()
    card = Card("base", "", "", "", {}, {})
    write_final(tiny_model(tokenizer), tokenizer, folder / "base", card)
    data = write_jsonl(folder / "data.jsonl", lessons(120))
    return {
        "base": {"path": str(folder / "base"), "model_id": "test/tiny"},
        "data": {"path": str(data), "sha256": hash_file(data)},
    }


def prepare(
    directory: Path,
    inputs: dict[str, Any],
    kind: str = "fft",
    batch_size: int = 8,
    **training: Any,
) -> Path:
    """A run directory for `python -m engine`."""
    numbers = {"n_epochs": 200, "batch_size": batch_size, "learning_rate": 5e-3}
    config = {
        "type": "sft",
        "job": {"model": "test/tiny", "data": "dataset:1"},
        "hyperparameters": {**numbers, "train_kind": kind},
        "training": {"max_steps": 10, "log_steps": 2, **training},
    }
    directory.mkdir()
    raw = {"kind": "sft", "config": config, "inputs": inputs}
    (directory / "config.json").write_text(json.dumps(raw))
    return directory


def test_a_checkpoint_is_published_that_others_can_load(
    tmp_path: Path, inputs: dict[str, Any]
) -> None:
    directory = prepare(tmp_path / "run", inputs)
    assert start(directory).wait(timeout=180) == 0
    (final,) = [c for c in events(directory, "checkpoint") if c["final"]]
    assert (final["kind"], final["method"], final["step"]) == ("sft", "full", 10)
    folder = directory / final["path"]
    for file in final["files"]:
        assert hash_file(folder / file["path"]) == file["sha256"]
        assert Path(file["path"]).suffix in {".safetensors", ".json", ".jinja", ".md"}
    assert load_file(folder / "model.safetensors")
    card = (folder / "README.md").read_text()
    assert "test/tiny" in card
    assert inputs["data"]["sha256"] in card
    steps = [m["step"] for m in events(directory, "metric")]
    assert steps == [1, 2, 4, 6, 8, 10]
    assert events(directory, "result")[-1]["ok"]
    (artifact,) = events(directory, "artifact")
    shown = json.loads((directory / artifact["path"]).read_text())
    assert (artifact["role"], shown["model"], len(shown["records"])) == ("tokens", "test/tiny", 2)
    assert 0 < shown["n_learned"] < shown["n_tokens"]
    assert any(
        learned and "tool_call" in text for _, text, learned in shown["records"][0]["pieces"]
    )


def test_a_killed_training_goes_on_from_its_last_checkpoint(
    tmp_path: Path, inputs: dict[str, Any]
) -> None:
    first = prepare(tmp_path / "1", inputs, max_steps=100_000, save_seconds=0.5)
    process = start(first)
    wait_for(first, "checkpoint")
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=20)
    saved = events(first, "checkpoint")[-1]
    second = prepare(tmp_path / "2", inputs, max_steps=saved["step"] + 5)
    raw = json.loads((second / "config.json").read_text())
    path = str(first / saved["path"])
    raw["resume"] = {"path": path, "step": saved["step"], "files": saved["files"]}
    (second / "config.json").write_text(json.dumps(raw))
    assert start(second).wait(timeout=180) == 0
    assert events(second, "metric")[0]["step"] > saved["step"]
    assert events(second, "result")[-1]["values"]["steps"] == saved["step"] + 5


def test_cancelling_keeps_the_last_checkpoint(tmp_path: Path, inputs: dict[str, Any]) -> None:
    directory = prepare(tmp_path / "run", inputs, max_steps=100_000)
    process = start(directory)
    wait_for(directory, "metric")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 4
    assert events(directory, "result")[-1]["error"]["code"] == "cancelled"
    (kept,) = events(directory, "checkpoint")
    assert not kept["final"]
    assert (directory / kept["path"] / "trainer_state.json").is_file()


def test_a_changed_dataset_is_refused(tmp_path: Path, inputs: dict[str, Any]) -> None:
    changed = {**inputs, "data": {**inputs["data"], "sha256": "0" * 64}}
    directory = prepare(tmp_path / "run", changed)
    assert run_here(directory) == 3
    error = events(directory, "result")[-1]["error"]
    assert error["code"] == "storage_error"
    assert "the run froze" in error["message"]


@pytest.mark.parametrize("kind", ["lora", "qlora"])
def test_an_adapter_is_published_alone_and_goes_on_where_it_is_the_base(
    tmp_path: Path, inputs: dict[str, Any], kind: str
) -> None:
    first = prepare(tmp_path / "1", inputs, kind, max_steps=30, lora={"r": 4, "alpha": 8})
    assert run_here(first) == 0, events(first, "result")
    (final,) = [c for c in events(first, "checkpoint") if c["final"]]
    names = {file["path"] for file in final["files"]}
    assert (final["method"], names & {"adapter_config.json", "model.safetensors"}) == (
        kind,
        {"adapter_config.json"},
    )
    folder = first / final["path"]
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "test/tiny"
    (folder / "base").symlink_to(inputs["base"]["path"])
    again = {**inputs, "base": {"path": str(folder), "model_id": "ft:test/tiny:job_1"}}
    second = prepare(tmp_path / "2", again, kind, max_steps=5)
    assert run_here(second) == 0, events(second, "result")
    before, after = (events(d, "metric") for d in (first, second))
    losses = [
        rows[i]["values"]["train.loss"] for rows, i in ((before, 0), (before, -1), (after, 0))
    ]
    assert losses[2] == pytest.approx(losses[1], abs=(losses[0] - losses[1]) / 4)


def test_all_weights_can_be_trained_from_an_adapter_and_one_can_be_merged(
    tmp_path: Path, inputs: dict[str, Any]
) -> None:
    first = prepare(tmp_path / "1", inputs, "lora", max_steps=5)
    assert run_here(first) == 0
    folder = first / "checkpoint"
    (folder / "base").symlink_to(inputs["base"]["path"])
    again = {**inputs, "base": {"path": str(folder)}}
    second = prepare(tmp_path / "2", again, "fft", max_steps=2)
    assert run_here(second) == 0
    whole = load_file(second / "checkpoint" / "model.safetensors")
    command = [sys.executable, "-m", "engine.train.adapters", str(folder), str(tmp_path / "out")]
    subprocess.run(command, check=True)
    merged = load_file(tmp_path / "out" / "model.safetensors")
    base = load_file(Path(inputs["base"]["path"]) / "model.safetensors")
    assert merged.keys() == whole.keys() == base.keys()
    assert any((merged[name] != base[name]).any() for name in merged)
    assert (tmp_path / "out" / "README.md").is_file()
