"""S1 on every address that Synth's clients call; one test walks them all, for they are many."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from apps.runs.models import Run
from apps.synth.api import api
from apps.synth.models import EnvironmentKey, SynthFile, SynthJob
from tests.estate import Estate, make_estate
from tests.security.test_s01_api_access import Door, body_of, doors, knock

pytestmark = pytest.mark.django_db
HEALTH = "/api/health"  # open, and tells nothing about anybody
ANY_ONE = "/api/rl/services/{trainer_id}"  # names no thing of a project
DOORS = [door for door in doors(api) if door.path != HEALTH]


@pytest.fixture
def estate(actor) -> Estate:
    return make_estate(actor)


def rows() -> list[object]:
    kept = (Run, SynthFile, SynthJob, EnvironmentKey)
    return [list(model.objects.order_by("pk").values()) for model in kept]


def test_the_walk_sees_every_family_of_jobs_and_both_addresses_of_files():
    assert len(DOORS) > 50
    for family in ("learning", "sft", "rl", "orchestration"):
        assert Door("POST", f"/api/{family}/jobs/{{job_id}}/start") in DOORS
    assert {Door("POST", "/api/files"), Door("POST", "/api/learning/files")} <= set(DOORS)


def test_without_a_key_or_with_a_wrong_one_every_door_is_shut(estate):
    for door in DOORS:
        for key in ("", "sk_sw_wrong"):
            answer = knock(door, estate, key)
            assert answer.status_code == 401, door
            assert answer.headers["Content-Type"].startswith("application/json")
            assert estate.secret not in body_of(answer)
    assert Client().get(HEALTH).status_code == 200


def test_a_stranger_never_sees_or_changes_a_thing(estate, mallory, key_of):
    key, before = key_of(mallory), rows()
    for door in DOORS:
        answer = knock(door, estate, key)
        assert estate.secret not in body_of(answer), door
        if "{" in door.path and door.path != ANY_ONE:
            assert answer.status_code == 404, door
    assert rows() == before


def test_a_reader_may_read_but_not_write(estate, bob, key_of):
    key, before = key_of(bob), rows()
    for door in DOORS:
        answer = knock(door, estate, key)
        if door.method == "GET":
            assert answer.status_code == 200, (door, body_of(answer))
        else:
            assert answer.status_code == 403, door
            assert json.loads(answer.content)["error"]["code"] == "forbidden"
    assert rows() == before
