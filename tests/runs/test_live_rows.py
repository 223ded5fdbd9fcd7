"""From view events to the row that pages draw of a running game."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.runs.ingest import ingest_ready
from apps.runs.ingest.views import MAX_VIEWS
from apps.runs.models import Event, LiveView, Run
from apps.runs.queries.live import list_live
from apps.runs.services import requeue_lost
from apps.traces.queries import live_steps
from engine.errors import LeaseLost
from synthweb.streams.rows import live_changes
from tests.runs.conftest import expire_lease

KEY = ["crafter", "crafter-1.8.3+d1", 7, 0, 0]


def view(first_step: int, n: int) -> dict:
    return {
        "key": KEY,
        "seed": 7,
        "model": "random",
        "first_step": first_step,
        "views": [f"v{first_step + i}" for i in range(n)],
        "rewards": [0.5] * n,
        "unlocks": [["collect_wood", first_step]],
        "n_turns": 1,
        "call": "do",
    }


def test_views_become_one_live_row_and_go_with_their_episode(claim, source, writer, tmp_path):
    writer.write("view", view(0, 2))
    ingest_ready(source, claim)
    writer.write("view", view(2, 3))
    ingest_ready(source, claim)
    row = LiveView.objects.get()
    assert row.data["views"] == ["v0", "v1", "v2", "v3", "v4"]
    assert row.version == 2
    assert not Event.objects.filter(type="view").exists()
    assert Run.objects.get().event_seq == 2  # only the changes of state


def test_a_live_row_stays_small_and_no_view_is_lost(claim, source, writer):
    for first in range(0, 100, 10):
        writer.write("view", view(first, 10))
        ingest_ready(source, claim)
    row = LiveView.objects.get()
    assert len(row.data["views"]) <= MAX_VIEWS
    steps = live_steps(row.run, json.loads(row.key))
    assert steps["n_steps"] == 99
    assert [step["index"] for step in steps["steps"]] == list(range(1, 100))
    [game] = list_live(project=row.run.project)
    assert game.episode_return == 50.0
    writer.write("view", view(0, 2))  # a new attempt
    ingest_ready(source, claim)
    assert live_steps(row.run, json.loads(row.key))["n_steps"] == 1


def test_a_batch_of_pictures_alone_leaves_the_run_and_its_sequence_alone(claim, source, writer):
    writer.log("hello")
    writer.write("view", view(0, 1))  # its new row refers to the run's, which is locked first
    ingest_ready(source, claim)
    writer.write("view", view(1, 1))
    writer.write("view", view(2, 1))
    with CaptureQueriesContext(connection) as asked:
        assert ingest_ready(source, claim) == 2
    assert not [q for q in asked.captured_queries if 'FROM "runs_run"' in q["sql"]]
    assert LiveView.objects.get().version == 3
    writer.write("view", view(3, 1))
    writer.log("again")
    ingest_ready(source, claim)
    assert LiveView.objects.get().data["views"] == ["v0", "v1", "v2", "v3"]
    assert list(Event.objects.filter(type="log").values_list("seq", flat=True)) == [3, 4]


def test_pictures_of_an_attempt_that_was_replaced_are_refused(claim, source, writer):
    writer.write("view", view(0, 1))
    expire_lease(claim)
    requeue_lost()
    with pytest.raises(LeaseLost):
        ingest_ready(source, claim)
    assert not LiveView.objects.exists()


def test_every_turn_reaches_who_watches_also_those_that_failed(claim, source, writer):
    writer.write("view", {**view(0, 1), "n_turns": 0, "turns": []})
    ingest_ready(source, claim)
    row = LiveView.objects.get()
    [(_, told, _)] = live_changes([row.pk], {})
    writer.write("view", {**view(1, 2), "turns": [[0, "do, do", 1, 2]]})
    writer.write("view", {**view(3, 0), "n_turns": 2, "turns": [[1, "(no_call)", 3, 0]]})
    ingest_ready(source, claim)
    [(_, after, item)] = live_changes([row.pk], {row.pk: told})
    assert json.loads(item.body)["turns"] == [[0, "do, do", 1, 2], [1, "(no_call)", 3, 0]]
    writer.write("view", {**view(3, 1), "n_turns": 3, "turns": [[2, "do", 3, 1]]})
    ingest_ready(source, claim)
    [(_, _, item)] = live_changes([row.pk], {row.pk: after})
    assert json.loads(item.body)["turns"] == [[2, "do", 3, 1]]


def test_views_of_a_new_attempt_start_afresh(claim, source, writer):
    writer.write("view", view(0, 4))
    writer.write("view", view(0, 1))
    ingest_ready(source, claim)
    assert LiveView.objects.get().data["views"] == ["v0"]
