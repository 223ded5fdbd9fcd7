"""A run's page leads to what made its model, what it made, and to the fair comparison."""

from __future__ import annotations

import re

import pytest

from apps.checkpoints.models import Checkpoint
from apps.datasets.models import Dataset
from apps.runs.models import Run, RunInput
from apps.web.relations import comparable, relations_of
from tests.games import make_run, make_trace, store_games

pytestmark = pytest.mark.django_db
SCORE = {"n": 20, "unique": {"n": 20, "mean": 3.5, "low": 3.0, "high": 4.0}}


def played(project, model: str) -> Run:
    run = make_run(project, "eval", model=model)
    Run.objects.filter(pk=run.pk).update(state="succeeded", result=SCORE)
    run.refresh_from_db()
    return run


@pytest.fixture
def base(project) -> Checkpoint:
    return Checkpoint.objects.create(uid="ck_base", project=project, model_id="base", kind="base")


@pytest.fixture
def training(project, base) -> Run:
    run = make_run(project, "sft", model="base")
    Run.objects.filter(pk=run.pk).update(state="succeeded", result={"val.loss": 0.8125})
    data = Dataset.objects.create(
        project=project, name="good games", version=1, n_records=7, size_bytes=1
    )
    RunInput.objects.create(run=run, kind="dataset", object_id=data.pk)
    Checkpoint.objects.create(
        uid="ck_tuned", project=project, model_id="tuned", kind="sft", base=base, run=run
    )
    run.refresh_from_db()
    return run


def test_a_training_says_what_it_made_and_offers_to_evaluate_it(training, client_of, alice):
    html = client_of(alice).get(f"/runs/{training.pk}/").content.decode()
    for told in ("/checkpoints/ck_tuned/", "/checkpoints/ck_base/", "good games", "0.812"):
        assert told in html
    assert "set=model=tuned" in html
    assert "Compare with its base" not in html  # nothing was played yet


def test_a_played_model_is_compared_with_its_base_on_worlds_that_both_played(project, training):
    before, after = played(project, "base"), played(project, "tuned")
    elsewhere = played(project, "tuned")  # newer, but on other worlds
    for run, seed in ((before, 7), (after, 7), (elsewhere, 8)):
        store_games(run, [make_trace(seed)])
    assert relations_of(project=project, run=elsewhere).versus is None
    for run in (training, after):
        assert relations_of(project=project, run=run).versus == (before.pk, after.pk)
    assert relations_of(project=project, run=before).versus is None


def test_a_scripted_player_has_no_checkpoint(project):
    ties = relations_of(project=project, run=played(project, "guide"))
    assert (ties.made, ties.model, ties.datasets, ties.versus) == (None, None, [], None)


def test_home_compares_only_models_that_played_the_same_worlds(project, client_of, alice):
    seeds = {"random": 7, "guide": 7, "elsewhere": 8}
    runs = {model: played(project, model) for model in seeds}
    for model, run in runs.items():
        store_games(run, [make_trace(seeds[model])])
    ids = [runs[model].pk for model in ("elsewhere", "random", "guide")]
    assert comparable(ids) == ids[1:]
    assert comparable(ids[:2]) == []
    html = client_of(alice).get("/").content.decode()
    link = re.search(r"/compare/\?runs=([0-9,]+)", html)
    assert {int(pk) for pk in link[1].split(",")} == set(ids[1:])
    assert "Compare the 2 that played the same worlds world by world" in html


def test_a_page_of_a_run_leads_to_the_first_game_that_did_it_and_on_to_the_model_and_its_base(
    project, training, client_of, alice
):
    run, client = played(project, "tuned"), client_of(alice)
    games = store_games(
        run,
        [
            make_trace(1, unlocks=[]),
            make_trace(2, unlocks=["eat_cow", "place_table"], model="tuned"),
        ],
    )
    Run.objects.filter(pk=run.pk).update(result={})  # its scores are counted while it plays
    link = f"/traces/first/?run={run.pk}&amp;achievement=place_table"
    assert link in client.get(f"/runs/{run.pk}/").content.decode()
    answer = client.get(link.replace("&amp;", "&"))
    assert answer["Location"] == f"/traces/{games[1].pk}/?step=4"
    html = client.get(answer["Location"]).content.decode()
    assert 'href="/checkpoints/ck_tuned/"' in html
    assert '<option value="base">its base: base</option>' in html
