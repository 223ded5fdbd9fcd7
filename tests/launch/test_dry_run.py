"""`import_config --dry-run` and the config page show what a launch would start."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import call_command

from apps.launch.services import import_config, show_launch
from apps.launch.services.configs import load_stored
from apps.runs.models import Config
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
