"""Lists narrow and page without gaps; a page costs the same however many episodes there are."""

from __future__ import annotations

import zlib
from base64 import b64decode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from apps.accounts.errors import Refused
from apps.runs.models import LiveView
from apps.traces import services
from apps.traces.models import Episode
from apps.traces.queries import (
    EpisodeQuery,
    episode_steps,
    first_unlock,
    get_episode,
    list_episodes,
    live_steps,
    load_trace,
    packed_steps,
    run_scores,
)
from apps.traces.services import apply_verify
from engine.errors import StorageError
from tests.games import make_run, make_trace, store_games

pytestmark = pytest.mark.django_db


def _seeds(project, **narrow):
    return [row.episode.seed for row in list_episodes(project=project, **narrow).items]


@pytest.fixture
def games(project):
    run = make_run(project)
    store_games(
        run,
        [
            make_trace(1, unlocks=[]),
            make_trace(2, unlocks=["collect_wood"]),
            make_trace(3, unlocks=["collect_wood", "place_table"], failed=[2]),
            make_trace(4, unlocks=["collect_sapling"], model="other", ended="died"),
        ],
    )
    return run


@pytest.mark.parametrize(
    ("narrow", "seeds"),
    [
        ({}, [4, 3, 2, 1]),
        ({"min_unique": 1}, [4, 3, 2]),
        ({"max_unique": 0}, [1]),
        ({"min_return": 1.5}, [3]),
        ({"achievement": "collect_wood"}, [3, 2]),
        ({"missing": "collect_wood"}, [4, 1]),
        ({"model": "other"}, [4]),
        ({"ended": "died"}, [4]),
        ({"failed_calls": True}, [3]),
        ({"label": "nice"}, []),
        ({"order": "-n_achievements"}, [3, 4, 2, 1]),
        ({"order": "id"}, [1, 2, 3, 4]),
    ],
)
def test_each_filter_narrows(project, games, narrow, seeds):
    assert _seeds(project, **narrow) == seeds


def test_the_first_unlock_is_the_earliest_games_own(project, games):
    def first(**narrow):
        found = first_unlock(project=project, query=EpisodeQuery(**narrow))
        return found.episode.seed, found.step

    assert first(achievement="collect_wood", run=games.pk) == (2, 2)
    assert first(achievement="place_table") == (3, 4)
    Episode.objects.filter(seed=2).update(forked_at_step=2)  # then it was the original that did
    assert first(achievement="collect_wood") == (3, 2)
    Episode.objects.filter(seed=2).update(forked_at_step=1)
    assert first(achievement="collect_wood") == (2, 2)
    for narrow, code in (({}, "no_achievement"), ({"achievement": "eat_cow"}, "not_found")):
        with pytest.raises(Refused) as refused:
            first(**narrow)
        assert refused.value.code == code


def test_pages_neither_repeat_nor_skip(project, games):
    for order in ("-id", "id", "-n_achievements", "episode_return"):
        seen, cursor = [], None
        while True:
            page = list_episodes(project=project, order=order, cursor=cursor, limit=1)
            seen += [row.episode.pk for row in page.items]
            cursor = page.next
            if cursor is None:
                break
        assert len(seen) == len(set(seen)) == 4


def test_bad_orders_and_cursors_are_refused(project, games):
    with pytest.raises(Refused):
        list_episodes(project=project, order="run__config__toml")
    with pytest.raises(Refused):
        list_episodes(project=project, cursor="e30")


def test_a_stranger_finds_nothing(games, mallory):
    foreign = mallory.projects.get()
    episode = Episode.objects.first()
    assert _seeds(foreign) == []
    with pytest.raises(Refused, match="There is no trace"):
        get_episode(project=foreign, episode_id=episode.pk)


def test_a_list_costs_four_queries_however_long(project, games, django_assert_num_queries):
    with django_assert_num_queries(4):
        rows = list_episodes(project=project).items
    assert rows[1].achievements == ["collect_wood", "place_table"]
    with django_assert_num_queries(3):
        get_episode(project=project, episode_id=rows[0].episode.pk)


@pytest.mark.parametrize("order", ["-id", "id", "-n_achievements"])
def test_a_page_walks_the_index_of_its_order_and_sorts_nothing(project, games, order):
    if connection.vendor != "sqlite":
        pytest.skip("the plan is SQLite's")
    with CaptureQueriesContext(connection) as queries:
        list_episodes(project=project, order=order)
        list_episodes(project=project, order=order, run=games.pk)
    for query in (queries[0], queries[4]):
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plan = " ".join(row[3] for row in cursor.fetchall())
        assert "traces_episode" in plan
        assert "TEMP B-TREE" not in plan


def test_steps_come_with_views_and_only_those_behind(project):
    [row] = store_games(make_run(project), [make_trace(9)])
    steps = episode_steps(row)
    assert [step["index"] for step in steps["steps"]] == [1, 2, 3, 4, 5, 6]
    assert steps["steps"][1]["unlocked"] == ["collect_wood"]
    assert [step["index"] for step in episode_steps(row, after=4)["steps"]] == [5, 6]


def test_packed_steps_say_the_same_in_columns(project):
    [row] = store_games(make_run(project), [make_trace(9)])
    packed, plain = packed_steps(row), episode_steps(row)
    names = [packed["names"][place] for place in packed["actions"]]
    assert names == [step["action"] for step in plain["steps"]]
    assert packed["turns"] == [step["turn"] for step in plain["steps"]]
    assert packed["unlocked"] == [[2, ["collect_wood"]]]
    views = zlib.decompress(b64decode(packed["views"]))
    assert views[-packed["sizes"][-1] :] == b64decode(plain["steps"][-1]["view"])


def test_a_running_episode_is_read_from_its_live_row(project):
    run = make_run(project)
    key = ["crafter", "crafter-1.8.3+d1", 9, 0, 0]
    LiveView.objects.create(
        run=run, shard=run.shards.get(), key='["crafter","crafter-1.8.3+d1",9,0,0]', seed=9,
        updated_at=now(),
        data={"first_step": 0, "views": ["QQ==", "Qg==", "Qw=="], "rewards": [0, 0, 1],
              "unlocks": [["collect_wood", 2]], "n_turns": 1, "call": "do"},
    )  # fmt: skip
    steps = live_steps(run, key, after=1)
    assert steps["steps"] == [
        {"index": 2, "reward": 1, "unlocked": ["collect_wood"], "view": "Qw=="}
    ]
    LiveView.objects.all().delete()
    assert live_steps(run, key) is None
    store_games(run, [make_trace(9)])
    assert live_steps(run, key)["done"]


def test_a_changed_payload_is_noticed(project):
    [row] = store_games(make_run(project), [make_trace(9)])
    row.payload_sha256 = "0" * 64
    with pytest.raises(StorageError, match="not the one that was stored"):
        load_trace(row)


def test_scores_leave_broken_episodes_out(project):
    run = make_run(project, task="crafter")
    traces = [make_trace(seed, unlocks=["collect_wood"] if seed % 2 else []) for seed in range(10)]
    store_games(run, [*traces, make_trace(99, ended="model_error")])
    scores = run_scores(run)
    assert (scores["n"], scores["n_broken"], scores["n_episodes"]) == (10, 1, 11)
    assert scores["unique"]["mean"] == 0.5
    assert scores["unique"]["low"] < 0.5 < scores["unique"]["high"]
    rate = scores["achievements"]["collect_wood"]
    assert (rate["rate"], rate["successes"]) == (0.5, 5)
    assert 0.23 < rate["low"] < 0.24  # Wilson for 5 of 10, by hand: 0.2366
    assert len(scores["achievements"]) == 22
    assert scores["achievements"]["eat_plant"]["rate"] == 0.0


def test_a_label_is_put_once_and_taken_off(project, games, actor):
    episode = Episode.objects.first()
    services.set_label(episode=episode, name="  nice  one ", actor=actor)
    services.set_label(episode=episode, name="nice one", actor=actor)
    assert len(_seeds(project, label="nice one")) == 1
    services.remove_label(episode=episode, name="nice one", actor=actor)
    assert _seeds(project, label="nice one") == []


def test_a_verification_is_a_run_that_marks_the_episode(project, games, actor):
    episode = Episode.objects.get(seed=2)
    run = services.request_verify(episode=episode, actor=actor)
    assert (run.kind, run.state) == ("verify", "queued")
    assert run.inputs["traces"][0]["storage_key"] == episode.storage_key
    report = {
        "id": episode.pk,
        "ok": False,
        "first_bad_step": 3,
        "reason": "step 3: hash",
        "n_steps": 6,
    }
    assert apply_verify(run=run, values={"reports": [report]}) == 1
    episode.refresh_from_db()
    assert (episode.verified, episode.verify_note) == (False, "step 3: hash")


def test_a_verification_cannot_mark_another_projects_episode(games, mallory):
    foreign = make_run(mallory.projects.get(), kind="verify")
    episode = Episode.objects.first()
    report = {"id": episode.pk, "ok": True, "first_bad_step": None, "reason": "", "n_steps": 6}
    assert apply_verify(run=foreign, values={"reports": [report]}) == 0
