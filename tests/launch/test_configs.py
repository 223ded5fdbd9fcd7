"""Storing configs: from text, from JSON, from files; nothing of a bad one is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from apps.accounts.errors import Refused
from apps.accounts.models import AuditEntry, Project, User
from apps.accounts.queries import Actor, actor_of_session
from apps.launch import services
from apps.runs.models import Config
from engine.config import ConfigErrors
from tests.launch.conftest import RANDOM

ROOT = Path(__file__).parents[2]


def test_a_stored_config_keeps_its_text_and_says_who_stored_it(
    actor: Actor, store: Callable[..., Config]
) -> None:
    config = store(RANDOM, name="folder/x.toml")
    assert (config.name, config.kind, config.toml) == ("x.toml", "eval", RANDOM)
    assert config.data["seeds"] == "100..103"
    assert AuditEntry.objects.filter(verb="config.stored", actor=actor.user).count() == 1
    assert store(RANDOM).pk == config.pk


def test_a_bad_config_leaves_nothing(actor: Actor, store: Callable[..., Config]) -> None:
    with pytest.raises(ConfigErrors, match=r"x\.toml:4 max_turn: unknown key"):
        store(RANDOM + "max_turn = 3\n")
    assert not Config.objects.exists()


def test_a_reader_may_not_store(bob: User, project: Project) -> None:
    reader = actor_of_session(bob, project.pk)
    assert reader is not None
    with pytest.raises(Refused) as caught:
        services.import_config(actor=reader, text=RANDOM, name="x.toml")
    assert caught.value.status == 403


def test_json_is_stored_with_the_toml_that_says_the_same(actor: Actor) -> None:
    data = {"model": "random", "provider": "builtin", "seeds": [1, 2], "limits": {"seconds": 3.0}}
    config = services.import_data(actor=actor, data=data, name="from json")
    assert services.check_text(text=config.toml, name="again").data == data


def test_a_pipeline_is_stored_with_its_files_put_in(store: Callable[..., Config]) -> None:
    config = store((ROOT / "configs/loop_small.toml").read_text())
    assert config.data["stages"]["collect"]["config"]["type"] == "rollout"


def test_a_link_out_of_the_folder_is_not_followed(
    actor: Actor, tmp_path: Path, store: Callable[..., Config]
) -> None:
    (tmp_path / "secret.toml").write_text(RANDOM)
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "link.toml").symlink_to(tmp_path / "secret.toml")
    with pytest.raises(ConfigErrors, match=r"there is no file link\.toml"):
        store('[stages.a]\nconfig = "link.toml"', folder=folder)


def import_files(*arguments: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    code = 0
    try:
        call_command("import_config", *arguments, stdout=out, stderr=err)
    except SystemExit as stop:
        code = int(stop.code or 0)
    return code, out.getvalue(), err.getvalue()


@pytest.fixture
def operator(project: Project, alice: User) -> User:
    """alice as the operator, whom commands act for."""
    alice.is_superuser = True
    alice.save(update_fields=["is_superuser"])
    return alice


@pytest.mark.usefixtures("operator")
def test_import_config_stores_the_synth_example_and_tells_what_has_no_effect() -> None:
    code, out, _ = import_files(str(ROOT / "configs/crafter_fft.toml"))
    config = Config.objects.get()
    assert code == 0
    assert out.startswith(f"Config {config.pk} (sft) from ")
    assert "job.poll_seconds = 1800 has no effect on this machine" in out


@pytest.mark.usefixtures("operator")
def test_import_config_names_line_key_and_nearest_key_of_a_typo(tmp_path: Path) -> None:
    text = (ROOT / "configs/crafter_fft.toml").read_text().replace("n_epochs", "n_epoch")
    line = 1 + text[: text.index("n_epoch")].count("\n")
    path = tmp_path / "crafter_fft.toml"
    path.write_text(text)
    code, _, err = import_files(str(path))
    assert code == 1
    assert (
        f"crafter_fft.toml:{line} hyperparameters.n_epoch: unknown key, did you mean n_epochs?"
        in err
    )
    assert not Config.objects.exists()


@pytest.mark.usefixtures("operator")
def test_launching_the_synth_example_asks_for_its_data_and_its_model() -> None:
    path = str(ROOT / "configs/crafter_fft.toml")
    code, _, err = import_files(path, "--launch")
    assert code == 1
    assert "There is no model 'Qwen/Qwen3-4B' here." in err
    assert "alias" in err


@pytest.mark.usefixtures("operator")
def test_import_config_speaks_json() -> None:
    path = str(ROOT / "configs/crafter_eval_random.toml")
    code, out, _ = import_files(path, "--json", "--launch", "--set", "seeds=1..3")
    answer = json.loads(out)
    assert code == 0
    assert answer["kind"] == "eval"
    assert answer["page"].endswith(f"/runs/{answer['run']}/")
    assert Config.objects.get(pk=answer["config"]).data["seeds"] == "1..3"
