"""A dataset's page beyond its filter: doubles, leaks, tokens, and what a version changed."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.datasets import services
from apps.datasets.difference import compare_datasets
from apps.datasets.tokens import sample_of_dataset, sample_of_run
from apps.runs.models import Run, RunInput
from tests.games import keep_tokens, make_run, make_trace, store_games

pytestmark = pytest.mark.django_db
PIECES = [[[7, 8], "see <b>", False], [[9], "do", True], [[10], "\n", False]]


@pytest.fixture
def games(project):
    run = make_run(project, "rollout")
    return store_games(run, [make_trace(seed) for seed in (1, 2, 3)])


def _make(project, name="good", **filter):
    return services.create_dataset(project=project, user=None, name=name, filter=filter)


def _train(project, dataset, shown: object) -> Run:
    """A run that trained on the dataset and kept its tokens."""
    run = make_run(project, "sft")
    RunInput.objects.create(run=run, kind="dataset", object_id=dataset.pk, role="data")
    keep_tokens(run, shown)
    return run


def _shown(model: str) -> dict[str, object]:
    record = {"record": 1, "n_tokens": 4, "n_learned": 1, "pieces": PIECES}
    return {
        "model": model, "sequence_length": 512, "n_records": 9, "n_tokens": 40, "n_learned": 10,
        "records": [record],
    }  # fmt: skip


def test_a_version_says_which_records_and_worlds_came_and_went(project, games):
    old = _make(project, episodes=[games[0].pk, games[1].pk])
    new = _make(project, episodes=[games[1].pk, games[2].pk])
    found = compare_datasets(old=old, new=new)
    assert (found.n_added, found.n_removed, found.n_kept) == (3, 3, 3)
    assert [r["metadata"]["episode"] for r in found.added] == [games[2].pk] * 3
    assert [r["metadata"]["episode"] for r in found.removed] == [games[0].pk] * 3
    worlds = (found.n_worlds_added, found.n_worlds_removed, found.n_worlds_kept)
    assert worlds == (1, 1, 1)
    same = compare_datasets(old=new, new=new)
    assert (same.n_added, same.n_removed, same.n_kept, same.added) == (0, 0, 6, [])


def test_files_too_large_are_compared_by_their_worlds_alone(project, games, monkeypatch):
    old, new = _make(project, limit=1), _make(project)
    monkeypatch.setattr("apps.datasets.difference.MOST_BYTES", 10)
    found = compare_datasets(old=old, new=new)
    assert (found.n_added, found.n_worlds_added) == (None, 2)


def test_the_page_of_a_difference_reads_in_words(project, games, alice, client_of):
    _make(project, limit=1)
    new = _make(project)
    page = client_of(alice).get(f"/datasets/{new.pk}/diff/").content.decode()
    assert "6 records added" in page
    assert "0 removed" in page
    first = client_of(alice).get(f"/datasets/{new.parent_id}/diff/")
    assert first.status_code == 422
    assert "no version before 1" in first.content.decode()
    linked = client_of(alice).get(f"/datasets/{new.pk}/").content.decode()
    assert f"/datasets/{new.pk}/diff/?from={new.parent_id}" in linked


def test_a_program_reads_the_same_difference(project, games, alice, key_of):
    _make(project, limit=1)
    new, client = _make(project), Client(headers={"X-API-Key": key_of(alice)})
    address = f"/api/v1/datasets/{new.pk}/diff"
    found = client.get(address).json()
    assert (found["n_added"], found["n_removed"], found["n_worlds_added"]) == (6, 0, 2)
    assert (found["old"]["version"], found["new"]["version"]) == (1, 2)
    assert found["added"][0]["messages"]
    assert client.get(f"{address}?from={new.pk}").json()["n_kept"] == new.n_records
    first = client.get(f"/api/v1/datasets/{new.parent_id}/diff")
    assert (first.status_code, first.json()["error"]["code"]) == (422, "nothing_before")


def test_a_stranger_compares_nothing(project, games, mallory, client_of):
    new, theirs = _make(project), mallory.projects.get()
    store_games(make_run(theirs, "rollout"), [make_trace(1)])
    own = _make(theirs)
    for address in (f"{new.pk}/diff/?from={own.pk}", f"{own.pk}/diff/?from={new.pk}"):
        assert client_of(mallory).get(f"/datasets/{address}").status_code == 404


def test_conversations_said_before_are_counted(project):
    run = make_run(project, "rollout")
    store_games(run, [make_trace(4, repeat=0), make_trace(4, repeat=1), make_trace(5)])
    assert _make(project).statistics["n_doubles"] == 3
    assert _make(project, dedupe=True).statistics["n_doubles"] == 0
    assert "n_doubles" not in services.preview(project=project, filter={}).statistics


def test_the_newest_training_shows_the_tokens_and_what_the_loss_counts(
    project, games, alice, client_of
):
    dataset = _make(project)
    assert sample_of_dataset(dataset) is None
    _train(project, dataset, _shown("old"))
    run = _train(project, dataset, _shown("new"))
    found = sample_of_dataset(dataset)
    assert (found.run_id, found.model, found.learned_share) == (run.pk, "new", 0.25)
    for address in (f"/datasets/{dataset.pk}/", f"/runs/{run.pk}/_tokens/"):
        page = client_of(alice).get(address).content.decode()
        assert '<span class="tok" title="7 8">see &lt;b&gt;</span>' in page
        assert '<span class="tok on" title="9">do</span>' in page


@pytest.mark.parametrize("shown", [[], {"model": "x"}, {**_shown("x"), "records": [{"pieces": 3}]}])
def test_a_file_that_is_no_token_sample_is_left_out(project, games, shown):
    assert sample_of_run(_train(project, _make(project), shown)) is None


def test_the_leak_check_speaks_when_there_is_nothing_to_fear(project, games, alice, client_of):
    clean = _make(project, episodes=[games[1].pk])
    page = client_of(alice).get(f"/datasets/{clean.pk}/").content.decode()
    assert "no evaluation of this project plays on any of its 1 world." in page
    make_run(project, "eval").shards.update(episodes=[{"seed": 2, "repeat": 0}])
    Run.objects.filter(kind="eval").update(state="succeeded")
    page = client_of(alice).get(f"/datasets/{clean.pk}/").content.decode()
    assert ">seed 2</a>" in page
