"""Announced checkpoints get an id that configs can name, their lineage, and all worlds they saw."""

from __future__ import annotations

import pytest

from apps.checkpoints.models import Checkpoint
from apps.checkpoints.queries import find_model, leaked_seeds, list_model_ids
from apps.checkpoints.services import local_folder
from engine.errors import StorageError
from tests.games import make_run, make_trace, store_games

pytestmark = pytest.mark.django_db
BASE = "synthweb/crafter-small"


@pytest.fixture
def base(project, announce):
    run = make_run(project, "base", model=BASE, resolved={"seeds_start": 900_000, "n_episodes": 10})
    return announce(run)


def _sft(project, base, asked=BASE, kind="sft"):
    inputs = {"base": {"checkpoint_id": base.pk, "base_model": asked}}
    return make_run(project, kind, model=asked, inputs=inputs)


def test_a_base_keeps_the_name_that_its_config_gave_it(base, project):
    assert base.model_id == BASE
    assert base.uid.startswith("ck_")
    assert find_model(project.pk, BASE) == base == find_model(project.pk, base.uid)


def test_a_trained_model_names_the_asked_base_and_its_job(base, project, announce):
    run = _sft(project, base, asked="Qwen/Qwen3-4B")
    made = announce(run, kind="sft")
    assert made.model_id == f"ft:Qwen/Qwen3-4B:{run.job_id}"
    assert (made.base, made.base_model_resolved) == (base, BASE)
    resume = announce(run, kind="sft", step=40, final=False)
    assert resume.model_id == f"{made.model_id}:step_40"
    assert list_model_ids(project.pk) == [made.model_id, BASE]


def test_announced_again_it_is_the_same_row_with_the_new_files(base, project, announce):
    run = _sft(project, base)
    first = announce(run, kind="sft")
    again = announce(run, kind="sft", files={"config.json": b'{"v": 2}'})
    assert again.pk == first.pk
    assert [file.path for file in again.files.all()] == ["config.json"]


def test_another_run_never_changes_what_a_model_id_means(base, project, announce):
    run = make_run(project, "base", model=BASE)
    second = announce(run, files={"config.json": b"other"})
    assert second.model_id == f"{BASE}:{run.job_id}"
    assert find_model(project.pk, BASE) == base


def test_seeds_come_from_the_base_and_from_the_games_played(base, project, announce):
    run = _sft(project, base, kind="rl")
    store_games(run, [make_trace(seed) for seed in (5, 6, 7, 20)])
    made = announce(run, kind="rl")
    world = "crafter-1.8.3+d1"
    assert made.trained_seeds == [
        ["crafter", "", [[900_000, 900_009]]],
        ["crafter", world, [[5, 7], [20, 20]]],
    ]
    seeds = [4, 7, 900_003, 1_000_000]
    found = leaked_seeds(made, task="crafter", world_version=world, seeds=seeds)
    assert found == [7, 900_003]
    other = leaked_seeds(made, task="crafter", world_version="crafter-9", seeds=seeds)
    assert other == [900_003]


def test_the_folder_is_whole_or_not_there(base, project, announce):
    folder = local_folder(base)
    assert (folder / "sub" / "chat_template.jinja").read_bytes() == b"x"
    assert local_folder(base) == folder
    bad = announce(_sft(project, base), kind="sft", files={"config.json": b"unique content"})
    from django.core.files.storage import default_storage

    key = bad.files.get().storage_key
    with open(default_storage.path(key), "wb") as file:
        file.write(b"damaged content")
    with pytest.raises(StorageError, match="announced"):
        local_folder(bad)
    assert not [path for path in folder.parent.iterdir() if bad.uid in path.name]
    assert Checkpoint.objects.filter(pk=bad.pk).exists()
