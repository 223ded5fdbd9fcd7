"""Where the page of a running game leads when the game has ended."""

from __future__ import annotations

import pytest

from tests.games import make_run, make_trace, store_games

pytestmark = pytest.mark.django_db


def test_a_game_that_has_ended_leads_to_its_trace_at_the_same_step(client_of, alice, project):
    run = make_run(project)
    only, _, second = store_games(run, [make_trace(5), make_trace(6), make_trace(6, repeat=1)])
    browser = client_of(alice)
    for query, there in (
        (f"?run={run.pk}&seed=5", f"/traces/{only.pk}/"),
        (f"?run={run.pk}&seed=5&step=3", f"/traces/{only.pk}/?step=3"),
        (f"?run={run.pk}&seed=6&repeat=1&version=0", f"/traces/{second.pk}/"),
        (f"?run={run.pk}&seed=6&repeat=2", f"/traces/?run={run.pk}&seed=6"),
        (f"?run={run.pk}", f"/traces/?run={run.pk}"),
        ("", "/live/"),
    ):
        assert browser.get(f"/live/999/{query}")["Location"] == there


def test_a_stranger_is_not_led_to_the_trace(client_of, mallory, project):
    run = make_run(project)
    store_games(run, [make_trace(5)])
    there = client_of(mallory).get(f"/live/999/?run={run.pk}&seed=5")["Location"]
    assert there == f"/traces/?run={run.pk}&seed=5"
