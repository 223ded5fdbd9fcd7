"""Traces over HTTP: documented fields, a fixed number of queries, whole turns on request."""

from __future__ import annotations

import pytest

from tests.games import NAMES, make_run, make_trace, store_games

pytestmark = pytest.mark.django_db
FIELDS = (
    "id run_id seed model policy return unique_achievements achievements steps turns ended verified"
)


@pytest.fixture
def games(project):
    traces = [make_trace(seed, unlocks=NAMES[: seed % 3 + 1]) for seed in range(6)]
    return store_games(make_run(project), traces)


def test_a_list_has_the_documented_fields(caller, games):
    [first, *_] = caller.get("/traces").json()["items"]
    assert set(FIELDS.split()) <= first.keys()
    assert (first["seed"], first["unique_achievements"]) == (5, 3)
    assert first["return"] == 3.0


def test_a_longer_list_costs_no_more_queries(caller, games, django_assert_max_num_queries):
    with django_assert_max_num_queries(10):
        assert len(caller.get("/traces", limit=6).json()["items"]) == 6


def test_filters_narrow_the_list(caller, games):
    found = caller.get("/traces", achievement="collect_sapling", min_unique=3).json()["items"]
    assert [row["seed"] for row in found] == [5, 2]


def test_one_trace_has_its_turns_with_prompts_calls_and_unlocks(caller, games):
    trace = caller.get(f"/traces/{games[2].pk}").json()
    assert [turn["unlocked"] for turn in trace["turns"]] == [[name] for name in NAMES]
    assert trace["turns"][0]["messages"][0]["role"] == "system"
    assert trace["unlocks"][0]["name"] == "collect_wood"


def test_steps_come_behind_a_number(caller, games):
    steps = caller.get(f"/traces/{games[0].pk}/steps", after=4).json()["steps"]
    assert [step["index"] for step in steps] == [5, 6]
    assert steps[0]["hash"]


def test_a_label_is_put_on_and_found(caller, games):
    caller.send("PATCH", f"/traces/{games[1].pk}", {"add": ["odd"]})
    assert [row["id"] for row in caller.get("/traces", label="odd").json()["items"]] == [
        games[1].pk
    ]


def test_verifying_queues_a_run(caller, games):
    answer = caller.post(f"/traces/{games[0].pk}/verify")
    assert answer.status_code == 202
    assert (answer.json()["kind"], answer.json()["state"]) == ("verify", "queued")


def test_two_runs_are_compared_by_the_worlds_that_both_played(caller, project):
    a, b = make_run(project), make_run(project)
    store_games(a, [make_trace(seed, unlocks=NAMES[:1]) for seed in range(4)])
    store_games(b, [make_trace(seed, unlocks=NAMES[:2]) for seed in range(4)])
    [pair] = caller.get("/compare", runs=f"{a.pk},{b.pk}").json()["pairs"]
    wanted = "a b n mean_a mean_b difference ci95 wins ties losses per_achievement"
    assert set(wanted.split()) <= pair.keys()
    assert (pair["n"], pair["difference"], pair["wins"]) == (4, 1.0, 4)
