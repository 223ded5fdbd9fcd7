"""A long game's page holds one page of its turns; the others are a link or a fetch away."""

from __future__ import annotations

import pytest

from apps.traces.queries import load_transcript
from apps.traces.queries.transcript import TURNS_A_PAGE
from tests.games import make_run, make_trace, store_games

pytestmark = pytest.mark.django_db
N_TURNS = 2 * TURNS_A_PAGE + 3  # of two steps each


@pytest.fixture
def long_game(project):
    return store_games(make_run(project), [make_trace(5, n_turns=N_TURNS)])[0]


def loaded(transcript):
    return [page.first for page in transcript.pages if page.turns]


def test_the_page_of_the_turn_that_made_a_step_is_loaded(long_game):
    assert [(page.first, page.last) for page in load_transcript(long_game).pages] == [
        (0, 49), (50, 99), (100, 102),
    ]  # fmt: skip
    for step, first in ((None, 0), (0, 0), (100, 0), (101, 50), (206, 100), (10**9, 100), (-1, 0)):
        found = load_transcript(long_game, step=step)
        assert (loaded(found), found.step) == ([first], max(0, min(step or 0, 206)))


def test_a_turn_opens_its_page_at_the_step_where_that_begins(long_game):
    for turn, first, step in ((0, 0, 0), (49, 0, 0), (50, 50, 101), (9999, 100, 201), (-5, 0, 0)):
        found = load_transcript(long_game, turn=turn)
        assert (loaded(found), found.step) == ([first], step)


def test_a_game_without_turns_has_no_page(project):
    row = store_games(make_run(project), [make_trace(5, n_turns=0)])[0]
    assert load_transcript(row, turn=7)[:3] == (0, [], 0)


def test_far_turns_are_links_and_come_as_a_fragment(client_of, alice, long_game):
    browser = client_of(alice)
    page = browser.get(f"/traces/{long_game.pk}/?step=101").content.decode()
    assert page.count('<article class="turn') == TURNS_A_PAGE
    assert 'id="turn-50"' in page
    assert 'href="?from=0">Turns 0 to 49</a>' in page
    part = browser.get(f"/traces/{long_game.pk}/_turns/?from=100").content.decode()
    assert part.count('<article class="turn') == 3
