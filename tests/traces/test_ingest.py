"""Episodes are stored once, whole, and replaced only when the first was broken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from apps.traces.models import Episode, EpisodeTurn, Unlock
from apps.traces.queries import load_trace
from tests.games import make_run, make_trace, store_games

pytestmark = pytest.mark.django_db


def test_an_episode_becomes_a_row_with_turns_and_unlocks(project):
    run = make_run(project)
    [row] = store_games(run, [make_trace(7, unlocks=["collect_wood", "place_table"])])
    assert (row.seed, row.n_achievements, row.n_turns, row.n_steps) == (7, 2, 3, 6)
    assert list(row.unlocks.values_list("name", "step", "turn")) == [
        ("collect_wood", 2, 0),
        ("place_table", 4, 1),
    ]
    assert list(row.turns.values_list("actions", flat=True)) == ["move_left do"] * 3


def test_the_stored_trace_is_the_played_one(project):
    trace = make_trace(7)
    [row] = store_games(make_run(project), [trace])
    assert load_trace(row) == trace


def test_the_same_episode_twice_keeps_the_first(project):
    run = make_run(project)
    first = store_games(run, [make_trace(7)])
    again = store_games(run, [make_trace(7, unlocks=[]), make_trace(8), make_trace(8, unlocks=[])])
    assert again[0].pk == first[0].pk
    assert again[1].pk == again[2].pk
    assert list(Episode.objects.order_by("seed").values_list("seed", "n_achievements")) == [
        (7, 1),
        (8, 1),
    ]
    assert (EpisodeTurn.objects.count(), Unlock.objects.count()) == (6, 2)


def test_a_broken_episode_gives_its_place_to_a_played_one(project):
    run = make_run(project)
    [broken] = store_games(run, [make_trace(7, ended="model_error", n_turns=1)])
    [played] = store_games(run, [make_trace(7, unlocks=["collect_wood", "place_table"])])
    assert broken.broken
    assert (played.pk, played.broken, played.turns.count()) == (broken.pk, False, 3)
    [late] = store_games(run, [make_trace(7, ended="cancelled")])
    assert late.ended == "max_turns"


def test_an_episode_that_broke_again_tells_the_newest_error(project):
    run = make_run(project)
    trace = make_trace(7, ended="model_error", n_turns=1)
    [first] = store_games(run, [trace])
    later = replace(trace.summary, started_at=trace.summary.started_at + 60, error="402: no credit")
    [again] = store_games(run, [replace(trace, summary=later)])
    [old] = store_games(run, [trace])
    assert (again.pk, old.error) == (first.pk, "402: no credit")
    assert old.started_at > first.started_at


def test_a_batch_costs_the_same_few_statements_whatever_its_size(
    project, django_assert_max_num_queries
):
    run = make_run(project)
    with django_assert_max_num_queries(12):
        store_games(run, [make_trace(seed) for seed in range(40)])
    assert Episode.objects.count() == 40


def test_nul_characters_of_a_model_are_replaced(project):
    trace = make_trace(7)
    trace.summary.error = "odd\0text"
    [row] = store_games(make_run(project), [trace])
    assert row.error == "odd\ufffdtext"
