"""Importing a model as a run: a real process, a real small model, a hub on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.errors import TrainingError
from engine.events import read_events
from engine.llm.toolcalls import find_text_calls
from engine.train.chat import FOREWORD
from engine.train.importing import check_memory
from engine.train.model import load_model, load_tokenizer
from tests.engine.gguf_files import write_gguf
from tests.engine.jobs.processes import run_here
from tests.engine.train.cast import TOOLS, lessons, turn, write_jsonl
from tests.engine.train.foreign import WITHOUT_TOOLS, write_foreign
from tests.servers.hub_server import COMMIT, serve_hub

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_foreign(tmp_path_factory.mktemp("models") / "tiny")
    (folder / "README.md").write_text("licence: apache-2.0")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle, beside safetensors")
    (folder / "modeling_tiny.py").write_text("raise SystemExit('code was run')")
    return folder


def run_import(directory: Path, source: dict[str, str], **environment: str) -> dict[str, Any]:
    """The result of an import."""
    raw = {"kind": "import_model", "config": {}, "inputs": {"source": source}}
    return run_job(directory, raw, **environment)


def run_job(directory: Path, raw: dict[str, Any], **environment: str) -> dict[str, Any]:
    """The run's result event; in a process of its own where it gets an environment of its own."""
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(raw))
    if environment:
        env, command = {**os.environ, **environment}, [sys.executable, "-m", "engine"]
        subprocess.run([*command, str(directory)], env=env, capture_output=True)
    else:
        run_here(directory)
    found: dict[str, Any] = [e.data for e, _ in read_events(directory / "events.jsonl")][-1]
    return found


def test_a_folder_becomes_a_checkpoint_that_carries_tools(tmp_path, model):
    result = run_import(tmp_path / "run", {"folder": str(model)}, OMP_NUM_THREADS="1")
    assert result["ok"], result
    assert result["values"]["architecture"] == "LlamaForCausalLM"
    assert result["values"]["left_out"] == ["modeling_tiny.py", "pytorch_model.bin"]
    folder = tmp_path / "run" / "checkpoint"
    assert (folder / "README.md").read_text() == "licence: apache-2.0"
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json", ".jinja", ".md"}
    tokenizer = load_tokenizer(folder)
    assert tokenizer.chat_template == FOREWORD + WITHOUT_TOOLS
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    messages = turn("tree", ["do"])["messages"]
    text = tokenizer.apply_chat_template(messages, tools=TOOLS, tokenize=False)
    assert find_text_calls(text.split("assistant\n")[-1], TOOLS)[0].name == "interact_many"
    mine, theirs = load_model(folder)[0], load_model(model)[0]
    assert torch.equal(mine.lm_head.weight, theirs.lm_head.weight)


def broken_copy(model: Path, folder: Path, **config: Any) -> Path:
    shutil.copytree(model, folder)
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**raw, **config}))
    return folder


@pytest.mark.parametrize(
    ("config", "code", "words"),
    [
        ({"num_hidden_layers": 3}, "weights_missing", "lack 9 weights"),
        ({"model_type": "unheard-of", "architectures": ["X"]}, "not_loadable", "cannot load"),
        ({"vocab_size": 300}, "not_loadable", "cannot load"),
    ],
)
def test_what_cannot_be_used_as_it_is_is_refused_with_the_reason(
    tmp_path, model, config, code, words
):
    folder = broken_copy(model, tmp_path / "broken", **config)
    result = run_import(tmp_path / "run", {"folder": str(folder)})
    assert (result["ok"], result["error"]["code"]) == (False, code)
    assert words in result["error"]["message"]
    assert not (tmp_path / "run" / "checkpoint").exists()


def test_a_model_larger_than_the_machine_is_refused_before_it_is_loaded(tmp_path, model):
    folder = broken_copy(model, tmp_path / "huge")
    size = 10**12  # weights: 4 TB in 32 bits; the file has holes, no disk is that large
    header = {"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    raw = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(8 + len(raw) + size)
    result = run_import(tmp_path / "run", {"folder": str(folder)})
    assert result["error"]["code"] == "no_room"
    assert "2000.0 GB of disk" in result["error"]["message"]


def test_a_gguf_file_is_measured_by_what_it_unpacks_to(tmp_path):
    path = write_gguf(tmp_path / "tiny.gguf", [(10**6, 10**6)])
    result = run_import(tmp_path / "run", {"folder": str(path)})
    assert result["error"]["code"] == "no_room"
    assert "takes 8000.0 GB of disk" in result["error"]["message"]
    assert check_memory(10**6, unpacks=True) is None
    with pytest.raises(TrainingError, match="without a GPU"):
        check_memory(10**12, unpacks=True)


def test_room_for_a_gguf_file_of_the_hub_is_estimated_before_it_is_fetched(tmp_path):
    with write_gguf(tmp_path / "repo" / "tiny.gguf", [(4, 4)]).open("r+b") as file:
        file.truncate(10**12)  # with holes
    with serve_hub({"org/tiny": tmp_path / "repo"}) as endpoint:
        source = {"repo": "org/tiny", "revision": ""}
        result = run_import(tmp_path / "run", source, HF_ENDPOINT=endpoint)
    assert result["error"]["code"] == "no_room"
    assert (
        "up to (an estimate by the size of its GGUF file) 16000.0 GB"
        in (result["error"]["message"])
    )


def test_a_model_of_the_hub_is_fetched_at_one_commit(tmp_path, model):
    with serve_hub({"org/tiny": model}) as endpoint:
        source = {"repo": "org/tiny", "revision": ""}
        result = run_import(tmp_path / "run", source, HF_ENDPOINT=endpoint)
    assert result["ok"], result
    assert result["values"]["commit"] == COMMIT
    assert "pytorch_model.bin" in result["values"]["left_out"]
    files = {path.name for path in (tmp_path / "run" / "checkpoint").iterdir()}
    assert {"model.safetensors", "tokenizer.json", "README.md"} <= files
    assert not files & {"pytorch_model.bin", "modeling_tiny.py", ".cache"}


def test_without_a_hub_the_run_says_what_to_do(tmp_path):
    with serve_hub({}) as endpoint:
        source = {"repo": "org/tiny", "revision": ""}
        unknown = run_import(tmp_path / "unknown", source, HF_ENDPOINT=endpoint)
    gone = run_import(tmp_path / "gone", source, HF_ENDPOINT="http://127.0.0.1:9")
    assert unknown["error"]["code"] == "unknown_repo"
    assert gone["error"]["code"] == "hub_unreachable"
    assert "hf download org/tiny --local-dir FOLDER" in gone["error"]["hint"]
    assert not gone["error"]["retryable"]


def test_an_adapter_is_trained_on_what_was_imported(tmp_path, model):
    assert run_import(tmp_path / "import", {"folder": str(model)})["ok"]
    base = tmp_path / "import" / "checkpoint"
    data = write_jsonl(tmp_path / "data.jsonl", lessons(32))
    config = {
        "type": "sft",
        "job": {"model": "org/tiny", "data": "dataset:1"},
        "hyperparameters": {"train_kind": "lora", "learning_rate": 1e-2, "n_epochs": 9},
        "training": {"max_steps": 12, "log_steps": 1},
    }
    inputs = {"base": {"path": str(base), "model_id": "org/tiny"}, "data": {"path": str(data)}}
    directory = tmp_path / "sft"
    result = run_job(directory, {"kind": "sft", "config": config, "inputs": inputs})
    assert result["ok"], result
    events = [e.data for e, _ in read_events(directory / "events.jsonl") if e.type == "metric"]
    losses = [event["values"]["train.loss"] for event in events]
    assert losses[-1] < losses[0] - 0.1
    adapter = directory / "checkpoint"
    (adapter / "base").symlink_to(base)
    tuned, tokenizer = load_model(adapter)
    assert tokenizer.chat_template == FOREWORD + WITHOUT_TOOLS
    assert not torch.equal(
        tuned.model.layers[0].mlp.up_proj.weight,
        load_model(base)[0].model.layers[0].mlp.up_proj.weight,
    )
