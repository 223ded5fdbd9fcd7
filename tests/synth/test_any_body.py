"""Whatever JSON comes to whatever address of Synth's: a documented status, never 500."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.synth.api import api
from apps.synth.models import SynthFile
from tests.contract.calls import RL, SFT
from tests.estate import Estate, make_estate
from tests.security.nasty import HEAVY, LIGHT, check, shapes
from tests.security.nasty import ask as ask_as_json
from tests.security.test_s01_api_access import doors

pytestmark = pytest.mark.django_db
DOORS = doors(api)
BODIES = [door for door in DOORS if door.method == "POST"]
JOBS = {"/api/learning/jobs": SFT, "/api/sft/jobs": SFT, "/api/rl/jobs": RL}
QUERY = (
    "status", "model", "purpose", "after", "limit", "since_seq", "after_step", "name",
    "created_after", "base_model",
)  # fmt: skip
FEW = settings(LIGHT, max_examples=60)


@pytest.fixture
def estate(actor, starter) -> Estate:
    return make_estate(actor)


@pytest.fixture
def program(alice, key_of) -> Client:
    return Client(headers={"Authorization": f"Bearer {key_of(alice)}"})


def places_in(body: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a body."""
    inner = body.items() if isinstance(body, dict) else ()
    return [at, *(place for key, value in inner for place in places_in(value, (*at, key)))]


def put(body: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy of the body with another value at a place."""
    if not place:
        return value
    changed = copy.deepcopy(body)
    target = changed
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    return changed


def real_body(path: str) -> dict[str, Any]:
    file = SynthFile.objects.get().file_id
    body = {**JOBS[path]}
    return (
        {**body, "training_file_id": file} if body is not RL and "hyperparameters" in body else body
    )


def send_anything(program: Client, estate: Estate, data: st.DataObject) -> str:
    door = data.draw(st.sampled_from(BODIES))
    if door.path in JOBS and data.draw(st.integers(0, 3)):
        body = real_body(door.path)
        place = data.draw(st.sampled_from(places_in(body)))
        return ask_as_json(program, "POST", door.path, put(body, place, data.draw(shapes)))
    return ask_as_json(program, "POST", door.at(estate), data.draw(shapes))


@FEW
@given(data=st.data())
def test_no_body_is_too_odd(program, estate, data):
    assert send_anything(program, estate, data) == ""


@pytest.mark.slow
@HEAVY
@given(data=st.data())
def test_no_body_is_too_odd_for_long(program, estate, data):
    assert send_anything(program, estate, data) == ""


def test_no_value_of_a_query_is_too_odd(program, estate):
    reads = [d.at(estate) for d in DOORS if d.method == "GET" and "/api/sft/" in d.path]
    reads += ["/api/files", "/api/models", "/api/rl/jobs"]
    check(
        ask_as_json(program, "GET", f"{where}?{name}={value}")
        for where in reads
        for name in QUERY
        for value in ("-1", "9" * 19, "%00", "x")
    )


def test_a_body_that_is_no_json_is_refused(program, estate):
    bodies = (b"{", b"\xff\xfe", b"[" * 5000, b'{"a": NaN}', b'"\\ud800"', b"1" * 5000,
              json.dumps({"metadata": json.loads("[" * 60 + "]" * 60)}).encode(),
              b'{"model": "a\\u0000b"}')  # fmt: skip
    for path in (*JOBS, "/api/v1/env-keys", "/api/rl/verify_task_app"):
        for raw in bodies:
            answer = program.generic("POST", path, raw, content_type="application/json")
            assert answer.status_code in (400, 422), (path, raw[:30])
            assert answer.json()["detail"]
