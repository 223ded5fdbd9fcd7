"""R15: a POST repeated with its Idempotency-Key, or at the same moment, makes one run."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from apps.runs.models import Run
from tests.api.conftest import EVAL, Caller

BODY = {"toml": EVAL, "launch": False}


@pytest.fixture
def caller(alice, key_of) -> Caller:
    return Caller(key_of(alice))


@pytest.mark.django_db
def test_the_same_post_again_gives_the_first_answer_and_makes_nothing(caller):
    first, again = (caller.post("/runs", BODY, **{"Idempotency-Key": "k1"}) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again["Idempotent-Replay"] == "true"
    assert Run.objects.count() == 1


@pytest.mark.django_db
def test_a_key_used_for_another_request_is_refused(caller):
    caller.post("/runs", BODY, **{"Idempotency-Key": "k1"})
    other = caller.post("/runs", {**BODY, "name": "x.toml"}, **{"Idempotency-Key": "k1"})
    assert (other.status_code, other.json()["error"]["code"]) == (422, "key_reused")


@pytest.mark.django_db
def test_a_refused_request_is_repeated_as_it_was_and_another_key_is_free(caller):
    bad = [caller.post("/runs", {}, **{"Idempotency-Key": "k1"}) for _ in range(2)]
    assert [r.status_code for r in bad] == [422, 422]
    assert caller.post("/runs", BODY, **{"Idempotency-Key": "k2"}).status_code == 201


@pytest.mark.django_db
def test_another_users_same_key_is_another_key(caller, mallory, key_of):
    caller.post("/runs", BODY, **{"Idempotency-Key": "k1"})
    theirs = Caller(key_of(mallory)).post("/runs", BODY, **{"Idempotency-Key": "k1"})
    assert theirs.status_code == 201
    assert Run.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_eight_at_the_same_moment_make_one_run(caller):
    barrier, statuses = threading.Barrier(8), []

    def press() -> None:
        barrier.wait(10)
        statuses.append(caller.post("/runs", BODY, **{"Idempotency-Key": "k1"}).status_code)
        connection.close()

    presses = [threading.Thread(target=press) for _ in range(8)]
    for thread in presses:
        thread.start()
    for thread in presses:
        thread.join(60)
    assert Run.objects.count() == 1
    assert set(statuses) <= {201, 409}
    assert 201 in statuses
