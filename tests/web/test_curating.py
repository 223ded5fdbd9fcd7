"""Curating in the list of traces: facets, ticked games in bulk, and views that are kept."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts import saved
from apps.accounts.errors import Refused
from apps.accounts.models import SavedView
from apps.datasets.models import Dataset
from apps.runs.models import Run
from apps.traces.models import Episode, Label
from apps.traces.queries import EpisodeQuery, count_facets
from tests.games import make_run, make_trace, store_games

pytestmark = pytest.mark.django_db


@pytest.fixture
def games(project):
    """Four games of Crafter and two tries at a problem, of which one is right."""
    run = make_run(project)
    rows = store_games(
        run,
        [
            make_trace(1, unlocks=[]),
            make_trace(2, unlocks=["collect_wood"]),
            make_trace(3, unlocks=["collect_wood", "place_table"]),
            make_trace(4, unlocks=["collect_wood"], model="other", ended="died"),
            make_trace(5, unlocks=["right"], model="solver"),
            make_trace(6, unlocks=[], model="solver"),
        ],
    )
    Episode.objects.filter(pk__in=[row.pk for row in rows[4:]]).update(task="math")
    return rows


@pytest.fixture
def browser(alice, client_of):
    return client_of(alice)


def _bulk(browser, games, **form):
    return browser.post("/traces/bulk/", {"traces": [g.pk for g in games], **form})


def test_facets_count_what_the_query_means(project, games):
    facets = count_facets(project=project, query=EpisodeQuery())
    assert (facets.n_games, facets.cut) == (6, False)
    assert facets.tasks == [("crafter", 4), ("math", 2)]
    assert sorted(facets.solved) == [("no", 1), ("yes", 1)]
    assert facets.ended == [("max_turns", 5), ("died", 1)]
    assert facets.models == [("tiny", 3), ("solver", 2), ("other", 1)]
    assert facets.achievements == [("collect_wood", 3, 1), ("place_table", 1, 3)]
    narrowed = count_facets(
        project=project, query=EpisodeQuery(missing="place_table", task="crafter")
    )
    assert narrowed.achievements == [("collect_wood", 2, 1)]


def test_facets_stop_counting_and_say_so(project, games, monkeypatch):
    monkeypatch.setattr("apps.traces.queries.facets.MOST_GAMES", 2)
    facets = count_facets(project=project, query=EpisodeQuery())
    assert (facets.n_games, facets.cut, facets.tasks) == (2, True, [("math", 2)])


def test_each_count_leads_to_as_many_games(browser, games):
    for address, n in (("solved=yes", 1), ("solved=no", 1), ("task=crafter", 4), ("ended=died", 1)):
        answer = browser.get(f"/traces/?{address}")
        assert len(answer.context["page"].items) == n, address


def test_ticked_games_are_labelled_and_the_label_comes_off(browser, games):
    where = "/traces/?ended=max_turns"
    answer = _bulk(browser, games[:2], what="label", name=" good  start ", next=where)
    assert answer.headers["Location"] == where
    assert set(Label.objects.values_list("episode", "name")) == {
        (g.pk, "good start") for g in games[:2]
    }
    assert _bulk(browser, games[:3], name="good start").status_code == 302  # Enter: label; twice
    _bulk(browser, games[1:3], what="unlabel", name="good start")
    assert [label.episode_id for label in Label.objects.all()] == [games[0].pk]


def test_a_dataset_of_exactly_the_ticked_games(browser, games):
    address = _bulk(browser, [games[0], games[2]], what="dataset").headers["Location"]
    shown = browser.get(address)
    assert shown.context["preview"].n_episodes == 2
    assert "2 chosen games of crafter" in shown.content.decode()
    sent = {key: values[0] for key, values in shown.context["sent"].items()}
    browser.post("/datasets/new/", {**sent, "name": "mine"})
    rows = Dataset.objects.get(name="mine").episode_rows
    assert set(rows.values_list("episode", flat=True)) == {games[0].pk, games[2].pk}


def test_ticked_games_are_verified_in_one_run(browser, games):
    _bulk(browser, games[:3], what="verify")
    run = Run.objects.get(kind="verify")
    assert [row["id"] for row in run.inputs["traces"]] == [g.pk for g in games[:3]]


@pytest.mark.parametrize(
    ("form", "word"),
    [
        ({"what": "label", "name": " "}, "1 to 60"),
        ({"what": "dataset"}, "crafter and math"),
        ({"what": "explode"}, "explode"),
    ],
)
def test_what_cannot_be_done_to_all_is_refused_in_words(browser, games, form, word):
    answer = _bulk(browser, games, **form)
    assert answer.status_code == 422
    assert word in answer.content.decode()


def test_no_or_strange_games_are_refused(browser, games, mallory, client_of):
    assert _bulk(browser, [], what="verify").status_code == 422
    assert _bulk(client_of(mallory), games, what="label", name="x").status_code == 404
    assert not Label.objects.exists()


def test_a_view_is_saved_as_the_address_stands_and_opens_it_again(browser, actor, games):
    form = {"page": "traces", "name": "died early", "query": "model=&order=-id&ended=died&cursor=x"}
    answer = browser.post("/saved/", form)
    assert answer.headers["Location"] == "/traces/?ended=died&order=-id"
    page = browser.get(answer.headers["Location"]).content.decode()
    assert 'href="/traces/?ended=died&amp;order=-id" aria-current="page">died early</a>' in page
    moved = {"HX-Request": "true", "HX-Current-URL": "http://testserver/traces/?ended=max_turns"}
    browser.post("/saved/", form, headers=moved)  # the list has moved on without the form
    assert SavedView.objects.get().query == "ended=max_turns"
    browser.post("/saved/", {"delete": SavedView.objects.get().pk})
    assert not SavedView.objects.exists()


def test_runs_have_views_too(browser, games):
    browser.post("/saved/", {"page": "runs", "name": "trainings", "query": "kind=sft"})
    assert 'href="/runs/?kind=sft"' in browser.get("/runs/").content.decode()
    assert "trainings" not in browser.get("/traces/").content.decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("page", "settings"), ("name", ""), ("name", "x" * 61), ("name", "a\u202eb"),
        ("query", ""), ("query", "cursor=abc&model="), ("query", "model=%00"),
        ("query", "a=" + "x" * 2000),
    ],
)  # fmt: skip
def test_what_is_no_view_is_refused(actor, field, value):
    good = {"page": "traces", "name": "a", "query": "model=x"}
    saved.save_view(actor=actor, **good)
    with pytest.raises(Refused) as refusal:
        saved.save_view(actor=actor, **{**good, "name": "b", field: value})
    assert field in refusal.value.fields


def test_a_view_is_its_projects_own(actor, mallory, bob, client_of):
    view = saved.save_view(actor=actor, page="traces", name="mine", query="model=x")
    assert client_of(mallory).post("/saved/", {"delete": view.pk}).status_code == 404
    assert client_of(bob).post("/saved/", {"delete": view.pk}).status_code == 403
    assert "mine" not in client_of(mallory).get("/traces/").content.decode()
    assert ">mine</a>" in client_of(bob).get("/traces/").content.decode()


def test_a_program_saves_lists_and_forgets_views(project, alice, bob, key_of):
    mine = Client(headers={"X-API-Key": key_of(alice)})
    body = {"page": "traces", "name": "deaths", "query": "?ended=died&cursor=abc"}
    made = mine.post("/api/v1/views", body, content_type="application/json")
    assert made.status_code == 201
    assert made.json()["links"] == {"page": "/traces/?ended=died"}
    reader = Client(headers={"X-API-Key": key_of(bob)})
    [row] = reader.get("/api/v1/views?page=traces").json()["items"]
    assert (row["name"], row["query"], row["user"]) == ("deaths", "ended=died", "alice")
    assert reader.get("/api/v1/views?page=runs").json()["items"] == []
    assert reader.delete(f"/api/v1/views/{row['id']}").status_code == 403
    assert mine.delete(f"/api/v1/views/{row['id']}").status_code == 204
    assert not SavedView.objects.exists()
