"""R14: a training cancelled in the middle of saving a checkpoint ends soon, whole ones are kept."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from apps.checkpoints.models import Checkpoint
from apps.checkpoints.services import local_folder
from apps.runs.models import MetricPoint, Need, Run, RunState
from apps.runs.services import cancel_run, resume_run
from apps.worker.rundir import directory_of
from engine.train.card import Card, write_final
from engine.train.checkpoints import hash_file
from engine.train.model import Size, make_model
from tests.engine.train.cast import lessons, tiny_tokenizer, write_jsonl
from tests.faults.plant import engines, wait_for_state

pytestmark = pytest.mark.slow


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Any]:
    """A base of 13 MB: saving it takes long enough to be met in the middle."""
    tokenizer = tiny_tokenizer()
    model = make_model(tokenizer, Size(hidden_size=256, layers=4, heads=4, ffn_size=1024), 0)
    write_final(model, tokenizer, tmp_path / "base", Card("base", "", "", "", {}, {}))
    data = write_jsonl(tmp_path / "data.jsonl", lessons(120))
    return {
        "base": {"path": str(tmp_path / "base"), "model_id": "test/tiny"},
        "data": {"path": str(data), "sha256": hash_file(data)},
    }


CONFIG = {
    "type": "sft",
    "job": {"model": "test/tiny", "data": "dataset:1"},
    "hyperparameters": {"n_epochs": 1000, "batch_size": 8, "learning_rate": 1e-4},
    "training": {"max_steps": 100_000, "log_steps": 1, "save_seconds": 0.2},
}


def wait_for_a_save(run: Run, attempt: int) -> None:
    """Return while a checkpoint is being written and not yet complete."""
    staged = directory_of(run.pk, 0, attempt) / "checkpoints" / ".staged"
    end = time.monotonic() + 120
    while not any(staged.glob("checkpoint-*/*.safetensors")):
        assert time.monotonic() < end, "no checkpoint was saved"
        time.sleep(0.001)


def cancel_while_it_saves(run: Run, actor: Any, attempt: int) -> float:
    """The seconds from the cancel to the end."""
    wait_for_a_save(run, attempt)
    began = time.monotonic()
    cancel_run(run=run, actor=actor)
    wait_for_state(run, RunState.CANCELLED, seconds=20)
    return time.monotonic() - began


def newest_step(run: Run) -> int:
    """The newest checkpoint's step; it is whole and what was announced."""
    found = Checkpoint.objects.filter(run=run).order_by("-step").first()
    assert found is not None
    folder = local_folder(found)
    for file in found.files.all():
        assert hash_file(folder / file.path) == file.sha256
    return found.step


def test_r14_while_it_saves_a_checkpoint(plant, make_run, actor, inputs):
    plant.start_ticker()
    plant.start_worker(rollout=0, train=1)
    run = make_run(kind="sft", need=Need.TRAIN, resolved=CONFIG, inputs=inputs)
    assert cancel_while_it_saves(run, actor, attempt=1) < 15
    assert not engines(run)
    first = newest_step(run)
    assert MetricPoint.objects.filter(series__run=run, series__name="train.loss").exists()
    resume_run(run=run, actor=actor)
    assert cancel_while_it_saves(run, actor, attempt=2) < 15
    assert not engines(run)
    assert newest_step(run) > first
