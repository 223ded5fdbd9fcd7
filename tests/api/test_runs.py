"""Runs over HTTP: made, listed, watched, cancelled; every answer in the documented shape."""

from __future__ import annotations

import pytest

from apps.runs.models import Run
from apps.runs.services import add_event
from tests.api.conftest import EVAL

pytestmark = pytest.mark.django_db
FIELDS = "id name kind state progress result error model created_at started_at ended_at links"


def test_a_toml_becomes_a_queued_run_with_the_documented_fields(caller):
    made = caller.post("/runs", {"toml": EVAL, "name": "tiny.toml"})
    assert made.status_code == 201, made.content
    run = made.json()
    assert set(FIELDS.split()) <= run.keys()
    assert (run["kind"], run["state"], run["model"]) == ("eval", "queued", "random")
    assert run["progress"] == {"done": 0, "total": 2, "unit": "episodes", "eta_s": None}
    assert caller.get(run["links"]["self"].removeprefix("/api/v1")).json()["id"] == run["id"]


def test_a_draft_waits_until_it_is_launched_and_twice_is_once(caller):
    run = caller.post("/runs", {"toml": EVAL, "launch": False}).json()
    assert run["state"] == "draft"
    path = f"/runs/{run['id']}/launch"
    assert [caller.post(path).json()["state"] for _ in range(2)] == ["queued", "queued"]


def test_set_changes_a_stored_config_into_a_child(caller):
    config = caller.post("/configs", {"toml": EVAL, "name": "tiny.toml"}).json()
    run = caller.post("/runs", {"config_id": config["id"], "set": ["seeds=[9]"]}).json()
    assert run["progress"]["total"] == 1
    assert caller.get(f"/configs/{run['config']}").json()["parent"] == config["id"]


def test_a_mistake_in_the_toml_names_line_and_key(caller):
    refused = caller.post("/runs", {"toml": EVAL + "max_step = 3\n", "name": "tiny.toml"})
    assert refused.status_code == 422
    error = refused.json()["error"]
    assert "max_steps" in str(error["fields"])
    assert "tiny.toml:5" in error["message"]
    assert Run.objects.count() == 0


@pytest.mark.parametrize("body", [{}, {"toml": EVAL, "config": {}}, {"toml": EVAL, "config_id": 1}])
def test_exactly_one_form_of_a_config_is_wanted(caller, body):
    refused = caller.post("/runs", body)
    assert refused.status_code == 422
    assert "one of them" in refused.json()["error"]["message"]


def test_lists_are_pages_with_a_cursor(caller):
    ids = [caller.post("/runs", {"toml": EVAL, "launch": False}).json()["id"] for _ in range(3)]
    first = caller.get("/runs", limit=2).json()
    second = caller.get("/runs", limit=2, cursor=first["next"]).json()
    assert [row["id"] for row in first["items"] + second["items"]] == ids[::-1]
    assert second["next"] is None


def test_cancel_twice_answers_the_same_and_a_clone_starts_afresh(caller):
    run = caller.post("/runs", {"toml": EVAL}).json()
    states = [caller.post(f"/runs/{run['id']}/cancel").json()["state"] for _ in range(2)]
    assert states == ["cancelled", "cancelled"]
    clone = caller.post(f"/runs/{run['id']}/clone?set=seeds=[5]")
    assert clone.status_code == 201
    assert (clone.json()["state"], clone.json()["parent_id"]) == ("draft", run["id"])


def test_events_go_on_behind_the_last_seq(caller):
    made = caller.post("/runs", {"toml": EVAL}).json()
    run = Run.objects.get(pk=made["id"])
    seen = caller.get(f"/runs/{run.pk}/events").json()["events"]
    add_event(run, "log", {"level": "info", "message": "hello"})
    new = caller.get(f"/runs/{run.pk}/events", after=seen[-1]["seq"]).json()["events"]
    assert [(event["seq"], event["data"]["message"]) for event in new] == [
        (seen[-1]["seq"] + 1, "hello")
    ]


def test_notes_and_tags_are_kept_and_found(caller):
    run = caller.post("/runs", {"toml": EVAL, "launch": False}).json()
    patched = caller.send("PATCH", f"/runs/{run['id']}", {"notes": "look", "tags": ["b", "a"]})
    assert (patched.json()["notes"], patched.json()["tags"]) == ("look", ["a", "b"])
    assert [row["id"] for row in caller.get("/runs", tag="a").json()["items"]] == [run["id"]]


@pytest.mark.parametrize("query", [{"cursor": "%%%"}, {"state": "asleep"}, {"limit": "0"}])
def test_a_bad_filter_is_a_clear_422(caller, query):
    refused = caller.get("/runs", **query)
    assert refused.status_code == 422
    assert refused.json()["error"]["message"]


def test_a_wrong_address_is_answered_in_the_one_shape_of_errors(caller):
    for answer in (caller.get("/rusn"), caller.post("/traces/1/frok")):
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"
