"""Asking for a model from outside: who may, from where, under which name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command

from apps.accounts.errors import Refused
from apps.accounts.queries import actor_of_session
from apps.checkpoints.queries import find_model
from apps.launch.services import clone, request_model
from apps.launch.services.names import find_base
from apps.runs.models import Run, RunState
from apps.synth.queries import list_models
from apps.worker.inputs import prepare_inputs
from tests.games import make_run

pytestmark = pytest.mark.django_db


def write_model(folder: Path, **files: bytes) -> Path:
    """A folder that looks like a model; nothing in it is ever loaded here."""
    folder.mkdir(parents=True)
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes(8)
    known = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": weights}
    for name, content in {**known, **{n.replace("__", "."): c for n, c in files.items()}}.items():
        if content:
            (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def root(tmp_path, settings):
    settings.BASE_MODELS_DIR = tmp_path / "models"
    return settings.BASE_MODELS_DIR


def test_a_folder_below_the_base_models_is_queued_under_its_name(actor, root):
    write_model(root / "org" / "tiny")
    run = request_model(actor=actor, source="org/tiny")
    assert (run.kind, run.model, run.state) == ("import_model", "org/tiny", RunState.QUEUED)
    assert run.inputs["source"] == {"folder": str(root / "org" / "tiny"), "inside": str(root)}


def test_a_folder_without_an_owner_is_called_local(actor, root):
    write_model(root / "my model")
    assert request_model(actor=actor, source=str(root / "my model")).model == "local/my-model"


def test_what_is_no_folder_here_is_asked_of_the_hub(actor, root):
    run = request_model(actor=actor, source="Qwen/Qwen3-0.6B", revision="main")
    assert run.inputs["source"] == {"repo": "Qwen/Qwen3-0.6B", "revision": "main"}
    assert run.model == "Qwen/Qwen3-0.6B"


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"model__safetensors": b"", "pytorch_model__bin": b"x"}, "pickle_refused"),
        ({"model__safetensors": b""}, "bad_model"),
        ({"model__safetensors": b"12345678 torn"}, "bad_model"),
        ({"config__json": b""}, "bad_model"),
        ({"config__json": b"[]"}, "bad_model"),
        ({"tokenizer__json": b""}, "bad_model"),
        ({"adapter_config__json": b"{}"}, "bad_model"),
        (
            {"model__safetensors__index__json": b'{"weight_map": ["model.safetensors"]}'},
            "bad_model",
        ),
        ({"model__safetensors": b"", "tiny__gguf": b"GGUF, or so"}, "bad_model"),
    ],
)
def test_what_no_model_can_be_made_of_is_refused_at_once(actor, root, files, code):
    write_model(root / "tiny", **files)
    with pytest.raises(Refused) as refused:
        request_model(actor=actor, source="tiny")
    assert (refused.value.code, refused.value.status) == (code, 422)
    assert refused.value.hint
    assert not Run.objects.exists()


@pytest.mark.parametrize("anywhere", [False, True])
def test_a_path_that_no_disk_knows_is_refused_and_no_error_of_ours(actor, root, anywhere):
    root.mkdir()
    for source in ("x" * 300, "~nobody-here/x", "org/" + "x" * 300, "x" * 300 + ".gguf"):
        with pytest.raises(Refused) as refused:
            request_model(actor=actor, source=source, anywhere=anywhere)
        assert (refused.value.code, refused.value.status) == ("bad_model", 422), source


def test_nothing_outside_of_the_base_models_is_read_for_a_page(actor, root, tmp_path):
    outside = write_model(tmp_path / "outside")
    inside = write_model(root / "linked")
    (inside / "tokenizer.json").unlink()
    (inside / "tokenizer.json").symlink_to(outside / "tokenizer.json")
    (root / "door").symlink_to(outside)
    for source in (str(outside), "../outside", "door", "linked", "/etc"):
        with pytest.raises(Refused) as refused:
            request_model(actor=actor, source=source)
        assert refused.value.code == "outside", source
    run = request_model(actor=actor, source=str(outside), anywhere=True)
    assert run.inputs["source"] == {"folder": str(outside), "inside": ""}
    with pytest.raises(Refused, match="outside"):  # nor by repeating what the shell was allowed
        clone(actor=actor, run=run)


@pytest.mark.parametrize("name", ["Qwen", "ft:a/b:job_0", "../x/y", "a/b c", "a/b/c"])
def test_a_name_that_configs_could_not_use_is_refused(actor, root, name):
    with pytest.raises(Refused, match="no model id"):
        request_model(actor=actor, source="a/b", name=name)


def test_a_name_that_is_taken_is_refused(actor, root, project, announce):
    announce(make_run(project, "import_model", model="a/b"), kind="import")
    for name in ("a/b", "synthweb/crafter-small"):
        with pytest.raises(Refused) as refused:
            request_model(actor=actor, source="a/b", name=name)
        assert refused.value.status == 409


def test_only_admins_import(bob, project, root):
    with pytest.raises(Refused, match="admin"):
        request_model(actor=actor_of_session(bob, project.pk), source="a/b")


def test_what_was_imported_is_a_base_for_configs_and_in_synths_list(project, announce):
    run = make_run(project, "import_model", model="Qwen/Qwen3-0.6B")
    made = announce(run, kind="import")
    assert find_model(project.pk, "Qwen/Qwen3-0.6B") == made
    found = find_base(project, "Qwen/Qwen3-0.6B")
    assert found.inputs["base_model"] == "Qwen/Qwen3-0.6B"
    assert list_models(project=project) == [made]
    tuned = make_run(project, "sft", model="Qwen/Qwen3-0.6B", inputs={"base": found.inputs})
    assert announce(tuned, kind="sft", method="lora").model_id.startswith("ft:Qwen/Qwen3-0.6B:job_")


def test_the_page_queues_an_import_or_says_why_not(alice, project, client_of, root):
    browser = client_of(alice)
    assert b"/checkpoints/import/" in browser.get("/checkpoints/").content
    refused = browser.post("/checkpoints/import/", {"source": "nowhere"})
    assert refused.status_code == 422
    assert b"There is no folder" in refused.content
    assert b'value="nowhere"' in refused.content
    answer = browser.post("/checkpoints/import/", {"source": "Qwen/Qwen3-0.6B"})
    run = Run.objects.get()
    assert answer.url == f"/runs/{run.pk}/"
    assert browser.get(answer.url).status_code == 200


def test_a_program_imports_over_the_api(alice, client, key_of, root):
    headers = {"authorization": f"Bearer {key_of(alice)}"}
    body = {"source": "Qwen/Qwen3-0.6B", "name": "mine/qwen"}
    answer = client.post(
        "/api/v1/checkpoints/import", body, content_type="application/json", headers=headers
    )
    assert answer.status_code == 202
    assert answer.json()["model"] == "mine/qwen"


def test_the_command_queues_a_folder_from_anywhere(alice, project, tmp_path, root, capsys):
    alice.is_superuser = True
    alice.save(update_fields=["is_superuser"])
    folder = write_model(tmp_path / "elsewhere")
    call_command("import_model", str(folder), "--name", "a/b", "--detach", "--json")
    said = json.loads(capsys.readouterr().out)
    assert Run.objects.get().pk == said["run"]


def test_the_hub_is_reached_as_the_operator_says_and_by_nobody_else(actor, root, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    run = request_model(actor=actor, source="a/b")
    assert prepare_inputs(run, 0).environment["HF_TOKEN"] == "hf_secret"
    other = make_run(actor.project, "sft")
    assert "HF_TOKEN" not in prepare_inputs(other, 0).environment
    assert "hf_secret" not in json.dumps(prepare_inputs(run, 0).inputs)


def test_nothing_here_needs_torch_to_look_into_a_folder():
    code = "import sys, engine.config.model_folder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
