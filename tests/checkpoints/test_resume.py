"""What serves resume is kept while it can be needed, and deleted from storage afterwards."""

from __future__ import annotations

import hashlib

import pytest

from apps.checkpoints.models import Checkpoint
from apps.checkpoints.services import local_folder, sweep_resume
from apps.runs import storage
from apps.runs.models import Run
from tests.games import make_run

pytestmark = pytest.mark.django_db(transaction=True)


def save(announce, run, step: int, *, final: bool = False) -> Checkpoint:
    files = {"model.safetensors": f"weights {step}".encode(), "config.json": b"{}"}
    return announce(run, kind="sft", step=step, final=final, files=files)


def steps(run) -> list[int]:
    rows = Checkpoint.objects.filter(run=run, final=False).order_by("step")
    return list(rows.values_list("step", flat=True))


def test_the_newest_few_are_kept_while_a_training_goes_on(project, announce):
    run = make_run(project, "sft", resolved={"training": {"keep_last": 3}})
    made = [save(announce, run, step) for step in range(1, 5)]
    assert steps(run) == [2, 3, 4]
    key = storage.key_for(storage_hash("weights 1"), "checkpoints")
    assert not storage.exists(key)
    assert (local_folder(made[3]) / "model.safetensors").read_bytes() == b"weights 4"


def test_none_is_left_when_the_training_has_succeeded(project, announce):
    run = make_run(project, "sft")
    last = save(announce, run, 2)
    local_folder(last)
    done = save(announce, run, 2, final=True)  # the same weights, published
    assert sweep_resume() == 0
    Run.objects.filter(pk=run.pk).update(state="succeeded")
    assert sweep_resume() == 1
    assert (steps(run), sweep_resume()) == ([], 0)
    assert (local_folder(done) / "model.safetensors").read_bytes() == b"weights 2"


def test_one_that_a_training_started_from_stays(project, announce):
    run = make_run(project, "sft")
    parent = save(announce, run, 1)
    inputs = {"base": {"checkpoint_id": parent.pk, "base_model": "a/b"}}
    announce(make_run(project, "sft", inputs=inputs), kind="sft")
    Run.objects.filter(pk=run.pk).update(state="succeeded")
    assert sweep_resume() == 0
    assert steps(run) == [1]


def storage_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
