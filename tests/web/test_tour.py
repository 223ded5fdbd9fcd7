"""The tour: for the operator of a fresh instance, done by doing, and never back once closed."""

from __future__ import annotations

import re

import pytest

from apps.accounts.models import User
from apps.accounts.services import create_user
from apps.runs.models import Run
from tests.conftest import PASSWORD
from tests.games import make_run, make_trace, store_games

pytestmark = pytest.mark.django_db
SCORE = {"n": 20, "unique": {"n": 20, "mean": 3.5, "low": 3.0, "high": 4.0}}


@pytest.fixture
def first(client_of, alice, project):
    User.objects.filter(pk=alice.pk).update(tour_open=True)
    return client_of(alice)


def done(browser) -> list[bool]:
    html = browser.get("/").content.decode()
    card = re.search(r'aria-labelledby="tour-h".*?</section>', html, re.DOTALL)
    steps = re.findall(r'<li class="step[^>]*>.*?</li>', card[0], re.DOTALL) if card else []
    return [">done<" in step for step in steps]


def test_the_operator_that_make_up_makes_begins_with_it_and_nobody_else(project, client_of, alice):
    assert create_user(username="operator", password=PASSWORD, superuser=True).tour_open
    assert not alice.tour_open
    assert done(client_of(alice)) == []


def test_a_step_is_done_when_the_thing_is(first, project, alice):
    assert done(first) == [False, False, False]
    first.post("/start/", {"what": "demo"})
    assert done(first) == [True, False, False]
    evaluation = make_run(project, model="ft:synthweb/crafter-small:job_0123456789abcdef")
    Run.objects.filter(pk=evaluation.pk).update(state="succeeded", result=SCORE)
    assert f'href="/runs/{evaluation.pk}/#scores-h"' in first.get("/").content.decode()
    make_run(project, "fork")
    assert done(first) == [True, True, False]
    store_games(make_run(project), [make_trace(1)])
    first.post("/datasets/new/", {"name": "d", "task": "crafter"})
    page = first.get("/datasets/").content.decode()
    first.get(re.search(r"/datasets/\d+/", page)[0] + "export/?format=trl")
    assert done(first) == [True, True, True]


def test_closed_it_never_comes_back(first, alice, client_of):
    assert first.post("/tour/close/")["Location"] == "/"
    assert done(first) == []
    assert done(client_of(User.objects.get(pk=alice.pk))) == []
    assert first.get("/tour/close/").status_code == 405


def test_a_reader_is_spared_it(first, bob, client_of):
    User.objects.filter(pk=bob.pk).update(tour_open=True)
    assert done(client_of(bob)) == []
