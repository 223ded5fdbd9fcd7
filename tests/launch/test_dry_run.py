"""`import_config --dry-run` and the config page show what a launch would start."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import call_command

from apps.accounts.errors import Refused
from apps.launch.services import cluster, import_config, launch, show_launch
from apps.launch.services.configs import load_stored
from apps.runs.models import Config, Run
from engine.config import Machine
from synthweb.bootstrap import ROOT
from tests.games import make_run

pytestmark = pytest.mark.django_db
FFT = ROOT / "configs" / "crafter_fft.toml"


@pytest.fixture
def operator(alice, project):
    """Who sits at the shell."""
    alice.is_superuser = True
    alice.save(update_fields=["is_superuser"])
    return alice


def test_a_dry_run_stores_nothing_and_shows_commands_and_memory(operator):
    out = StringIO()
    call_command("import_config", str(FFT), "--dry-run", "--gpus", "8 H100", stdout=out)
    text = out.getvalue()
    assert "accelerate launch --num_processes 8" in text
    assert "P·12/8" in text
    assert "not yet run on a GPU" in text
    assert Config.objects.count() == 0


def test_a_dry_run_of_what_cannot_fit_says_so_and_fails(operator):
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("import_config", str(FFT), "--dry-run", "--gpus", "1 L4", "--json", stdout=out)
    assert "do not fit" in json.loads(out.getvalue())["refusals"][0]


def test_the_size_of_a_model_here_is_read_from_its_files(project, actor, announce):
    raw = {"hidden_size": 128, "num_attention_heads": 4, "num_hidden_layers": 3,
           "intermediate_size": 384, "vocab_size": 960}  # fmt: skip
    announce(
        make_run(project, "base", model="a/b"), files={"config.json": json.dumps(raw).encode()}
    )
    text = '[job]\nmodel = "a/b"\ndata = "dataset:1"\n'
    config = import_config(actor=actor, text=text, name="t.toml")
    plan = show_launch(project=project, loaded=load_stored(config))
    parts = {part.name: part.size_bytes for part in plan.memory}
    assert parts["weights"] == 4 * (3 * (4 * 128 * 128 + 3 * 128 * 384) + 2 * 960 * 128)


def test_the_page_of_a_training_config_shows_its_launch(client, alice, project, actor):
    config = import_config(actor=actor, text=FFT.read_text(), name="crafter_fft.toml")
    client.force_login(alice)
    page = client.get(f"/configs/{config.pk}/").content.decode()
    assert "What a launch starts" in page
    assert "--zero_stage 3" in page


LARGE = {"hidden_size": 2560, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
         "num_hidden_layers": 36, "intermediate_size": 9728, "vocab_size": 151_936,
         "tie_word_embeddings": True}  # fmt: skip
RL_ON_AN_L4 = """
type = "rl"
[compute]
gpu_type = "L4"
gpu_count = 1
[model]
base = "a/large"
"""


@pytest.fixture
def large(project, announce):
    """A model of 4 billion parameters on this machine, by its config.json."""
    files = {"config.json": json.dumps(LARGE).encode()}
    return announce(make_run(project, "base", model="a/large"), files=files)


@pytest.fixture
def too_large(actor, large) -> Config:
    return import_config(actor=actor, text=RL_ON_AN_L4, name="rl.toml")


def test_a_launch_that_cannot_fit_is_refused_in_the_words_of_the_dry_run(
    project, actor, too_large, operator, tmp_path
):
    with pytest.raises(Refused) as caught:
        launch(actor=actor, config=too_large)
    (refusal,) = show_launch(project=project, loaded=load_stored(too_large)).refusals
    assert "do not fit into the 24 GiB of a L4" in refusal
    assert (caught.value.code, caught.value.message) == ("cannot_fit", f"{refusal}.")
    file = tmp_path / "rl.toml"
    file.write_text(RL_ON_AN_L4)
    err = StringIO()
    with pytest.raises(SystemExit):
        call_command("import_config", str(file), "--launch", stderr=err, stdout=StringIO())
    assert refusal in err.getvalue()
    assert not Run.objects.filter(kind="rl").exists()


def test_page_and_apis_refuse_it_before_a_run_is_made(client, alice, key_of, too_large):
    client.force_login(alice)
    page = client.get(f"/configs/{too_large.pk}/").content.decode()
    assert "Not ready to launch here:" in page
    assert "do not fit into the 24 GiB" in page
    refused = client.post(f"/configs/{too_large.pk}/launch/", {"sets": ""})
    assert "do not fit into the 24 GiB" in refused.content.decode()
    key = {"Authorization": f"Bearer {key_of(alice)}"}
    body = {"config_id": too_large.pk, "launch": True}
    said = client.post("/api/v1/runs", body, "application/json", headers=key)
    assert (said.status_code, said.json()["error"]["code"]) == (422, "cannot_fit")
    body = {"data": {"base_model": "a/large", "config": {"compute": {"gpu_type": "L4",
            "gpu_count": 1}}}}  # fmt: skip
    said = client.post("/api/rl/jobs", body, "application/json", headers=key)
    assert said.status_code == 422
    assert "do not fit into the 24 GiB" in said.content.decode()
    assert not Run.objects.filter(kind="rl").exists()


def test_whoever_knows_better_launches_all_the_same(actor, too_large):
    run = launch(actor=actor, config=too_large, sets=["compute.ignore_memory=true"])
    assert run.state == "queued"


def test_without_a_gpu_here_the_memory_of_this_machine_counts(actor, large, monkeypatch):
    small = Machine(memory_bytes=16 * 2**30)
    monkeypatch.setattr(cluster, "this_machine", lambda: small)
    text = 'type = "rl"\n[model]\nbase = "a/large"\n'
    config = import_config(actor=actor, text=text, name="rl.toml")
    with pytest.raises(Refused, match="60 GiB do not fit into the 16 GiB of this machine"):
        launch(actor=actor, config=config)
    run = launch(actor=actor, config=config, sets=['compute.gpu_type="H100"', "compute.gpu_count=1",
                                                   "training.batch_size=2"])  # fmt: skip
    assert any("Without a GPU" in warning for warning in run.warnings)
