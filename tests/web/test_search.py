"""Search finds what has the words, in this project only."""

from __future__ import annotations

import pytest

from apps.launch.queries.search import search
from apps.traces.models import Label
from tests.games import make_run, make_trace, store_games

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(project):
    run = make_run(project, name="Long evening", model="ft:base:job_1")
    [game] = store_games(run, [make_trace(4711)])
    Label.objects.create(episode=game, name="odd death")
    return run


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ("evening", {"run"}),
        ("LONG  evening", {"run"}),
        ("ft:base", {"run"}),
        ("4711", {"trace"}),
        ("odd death", {"trace"}),
        ("", set()),
        ("100%", set()),
        ("9" * 30, set()),
    ],
)
def test_names_models_numbers_seeds_and_labels_are_found(project, run, words, kinds):
    assert {hit.kind for hit in search(project=project, words=words)} == kinds


def test_a_number_finds_the_run_that_has_it(project, run):
    assert ("run", str(run.pk)) in {
        (hit.kind, hit.key) for hit in search(project=project, words=str(run.pk))
    }


def test_nothing_of_another_project_is_found(client_of, alice, mallory, run):
    assert b"Long evening" in client_of(alice).get("/search/?q=evening").content
    assert b"Long evening" not in client_of(mallory).get("/search/?q=evening").content


def test_the_palette_gets_the_hits_alone(client_of, alice, run):
    answer = client_of(alice).get("/search/?q=evening", headers={"HX-Request": "true"})
    assert answer.content.strip().startswith(b"<li>")
    assert f'href="/runs/{run.pk}/"'.encode() in answer.content
