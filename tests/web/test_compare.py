"""The comparison's form offers what can be compared, and says so where nothing can."""

from __future__ import annotations

import pytest

from tests.games import make_run, make_trace, store_games

pytestmark = pytest.mark.django_db


def test_compare_offers_two_runs_of_one_task(project, alice, client_of):
    older, newer = make_run(project), make_run(project)
    store_games(older, [make_trace(1)])
    alone = make_run(project, task="math")
    browser = client_of(alice)
    page = browser.get("/compare/").content.decode()
    for run in (newer, older):
        assert f'<option value="{run.pk}" selected>' in page
    assert f'<option value="{alone.pk}" selected>' not in page


def test_runs_without_a_shared_world_show_no_figures(project, alice, client_of):
    a, b = make_run(project), make_run(project)
    store_games(a, [make_trace(1)])
    store_games(b, [make_trace(2)])
    page = client_of(alice).get(f"/compare/?runs={a.pk},{b.pk}").content.decode()
    assert "share no world" in page
    assert "B wins, ties, loses" not in page
