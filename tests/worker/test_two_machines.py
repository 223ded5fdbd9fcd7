"""Two workers that share no disk: what passes between them passes through the object store.

One plays an eval, the dataset is made of it, the same machine begins a fine-tuning and dies with
all that was on its disk; the other goes on from the last checkpoint and publishes the model.
"""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from apps.checkpoints.models import Checkpoint
from apps.checkpoints.services import local_folder
from apps.datasets import services as datasets
from apps.runs.models import Attempt, Need, RunState
from apps.traces.models import Episode
from engine.train.card import Card, write_final
from engine.train.checkpoints import hash_file
from tests.announce import announce
from tests.api.conftest import EVAL, Caller
from tests.engine.train.cast import lessons, tiny_model, tiny_tokenizer
from tests.faults.plant import run_plant, wait_for_state
from tests.games import make_run as make_over
from tests.runs.conftest import make_run
from tests.runs.test_s3 import bucket, server
from tests.servers import redis
from tests.servers.waiting import wait_until

__all__ = ["announce", "bucket", "make_run", "server"]
pytestmark = pytest.mark.slow
SFT = {
    "type": "sft",
    "job": {"model": "test/tiny", "data": "dataset:1"},
    "hyperparameters": {"n_epochs": 1000, "batch_size": 8, "learning_rate": 1e-4},
    "training": {"max_steps": 900, "log_steps": 1, "save_seconds": 0.5},
}


@pytest.fixture
def plant(transactional_db, tmp_path, bucket, settings):
    settings.SYNTHWEB_HOME = tmp_path / "web"
    with redis.serve() as broker, run_plant(tmp_path, broker) as made:
        settings.BROKER_URL = broker.url
        made.environment |= bucket.environment
        yield made


def start_machine(plant: Any, home: Path) -> Any:
    """A worker whose disk is `home`."""
    plant.environment["SYNTHWEB_HOME"] = str(home)
    return plant.start_worker(rollout=1, train=1)


@pytest.fixture
def base(plant, project, announce, tmp_path) -> Checkpoint:
    """A tiny model in the store, and nowhere else."""
    tokenizer = tiny_tokenizer()
    write_final(tiny_model(tokenizer), tokenizer, tmp_path / "base", Card("b", "", "", "", {}, {}))
    files = {path.name: path.read_bytes() for path in (tmp_path / "base").iterdir()}
    shutil.rmtree(tmp_path / "base")
    return announce(make_over(project, "sft"), kind="base", files=files)


def test_a_run_goes_on_where_nothing_but_the_store_is_left(
    plant, base, alice, project, key_of, make_run, bucket, tmp_path
):
    plant.start_ticker()
    first = start_machine(plant, tmp_path / "one")
    caller = Caller(key_of(alice))
    played = caller.post("/runs", {"toml": EVAL}).json()["id"]
    wait_until(lambda: caller.get(f"/runs/{played}").json()["state"] == "succeeded", "the eval", 90)
    for episode in Episode.objects.filter(run=played):
        assert episode.storage_key in bucket.stored()
        assert caller.get(f"/traces/{episode.pk}/steps").json()["steps"]
    lines = b"".join(json.dumps(record).encode() + b"\n" for record in lessons(120))
    data = datasets.upload_dataset(project=project, user=alice, name="up", file=io.BytesIO(lines))
    inputs = {"base": {"checkpoint_id": base.pk, "model_id": base.model_id, "base_model": "t/t"},
              "data": {"dataset_id": data.pk, "sha256": data.sha256}}  # fmt: skip
    run = make_run(kind="sft", need=Need.TRAIN, resolved=SFT, inputs=inputs)
    saved = Checkpoint.objects.filter(run=run, final=False)
    wait_until(saved.exists, f"a checkpoint in the store; see {plant.log}", 120)

    plant.kill(first)
    shutil.rmtree(tmp_path / "one")
    start_machine(plant, tmp_path / "two")
    wait_for_state(run, RunState.SUCCEEDED, seconds=180)

    assert Attempt.objects.filter(shard__run=run).count() == 2
    config = json.loads((tmp_path / "two" / "runs" / f"{run.pk}/0/2/config.json").read_text())
    assert config["resume"]["step"] > 0
    assert str(tmp_path / "two") in config["resume"]["path"]
    published = Checkpoint.objects.get(run=run, final=True)
    assert published.step == SFT["training"]["max_steps"]
    folder = local_folder(published)  # on this machine, the third
    assert str(tmp_path / "web") in str(folder)
    for file in published.files.all():
        assert hash_file(folder / file.path) == file.sha256
