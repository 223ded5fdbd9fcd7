"""A checkpoint's page: its graph down to single games, all files in one zip, the talk with it."""

from __future__ import annotations

import io
import zipfile

import pytest

from apps.checkpoints import queries
from apps.datasets.models import Dataset, DatasetEpisode
from apps.datasets.queries import lineage
from apps.runs.models import Run, RunInput
from apps.web.lineage_graph import draw_lineage
from tests.announce import announce  # noqa: F401  (a fixture)
from tests.games import make_run, make_trace, store_games

pytestmark = pytest.mark.django_db


@pytest.fixture
def trained(project, announce):  # noqa: F811
    """A model that learned from a dataset of one game, and was evaluated."""
    games = make_run(project, name="collected")
    [episode] = store_games(games, [make_trace(7, unlocks=("collect_wood",))])
    dataset = Dataset.objects.create(
        project=project, name="good games", version=2, sha256="0" * 64, source="filter",
        n_records=3, size_bytes=0, storage_key="datasets/00/0",
    )  # fmt: skip
    DatasetEpisode.objects.create(
        dataset=dataset, episode=episode, task="crafter", world_version="w", seed=7, n_records=3
    )
    run = make_run(project, "sft", name="training", model="a/b")
    RunInput.objects.create(run=run, kind="dataset", object_id=dataset.pk, role="data")
    made = announce(run, kind="sft")
    result = {"n": 20, "unique": {"n": 20, "mean": 3.5, "low": 3.0, "high": 4.0}}
    tested = make_run(project, "eval", model=made.model_id)
    Run.objects.filter(pk=tested.pk).update(state="succeeded", result=result)
    return made, episode, dataset, tested


def test_the_graph_leads_from_a_single_game_to_the_evaluation(trained):
    made, episode, dataset, tested = trained
    graph = draw_lineage(made, lineage(made), descendants=[], scores=queries.scores_of(made))
    leads = [place.node.href for place in sorted(graph.nodes, key=lambda place: place.x)]
    assert leads == [
        f"/traces/{episode.pk}/", f"/datasets/{dataset.pk}/", f"/runs/{made.run_id}/", "",
        f"/runs/{tested.pk}/",
    ]  # fmt: skip
    assert len(graph.edges) == 4
    assert [word for _, word in graph.heads] == [
        "Games", "Learned from", "Training", "Model", "What became of it"
    ]  # fmt: skip


def test_a_reward_training_shows_the_games_that_it_played_itself(project, announce):  # noqa: F811
    run = make_run(project, "rl", model="a/b")
    [episode] = store_games(run, [make_trace(9)])
    found = lineage(announce(run, kind="rl"))
    assert ([game.pk for game in found.games], found.n_episodes) == ([episode.pk], 1)


def test_the_zip_holds_every_file_as_it_is(trained, alice, client_of):
    made = trained[0]
    answer = client_of(alice).get(f"/checkpoints/{made.uid}/archive/")
    archive = zipfile.ZipFile(io.BytesIO(b"".join(answer)))
    assert archive.testzip() is None
    assert archive.read(f"{made.uid}/model.safetensors") == b"weights"
    assert sorted(archive.namelist()) == [
        f"{made.uid}/{name}" for name in ("config.json", "model.safetensors",
                                          "sub/chat_template.jinja")
    ]  # fmt: skip


def test_an_editor_may_talk_with_a_real_opening_and_a_reader_sees_no_such_box(
    trained, alice, bob, client_of
):
    address = f"/checkpoints/{trained[0].uid}/"
    page = client_of(alice).get(address).content.decode()
    assert f'data-chat="{trained[0].model_id}"' in page
    assert "seed 7 turn 0" in page
    assert "&quot;interact_many&quot;" in page
    assert "data-chat" not in client_of(bob).get(address).content.decode()


def test_the_list_shows_the_leaderboard_with_what_a_score_stands_on(trained, alice, client_of):
    page = client_of(alice).get("/checkpoints/").content.decode()
    assert "Leaderboard: crafter" in page
    assert "n 20" in page
