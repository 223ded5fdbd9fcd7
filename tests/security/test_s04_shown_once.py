"""S4: a secret that an answer shows once stands in that answer only: nowhere in the database, and
not in the answer to the same Idempotency-Key."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest
from django.contrib.sessions.models import Session
from django.db import connection

from apps.accounts.models import ApiKey, User
from apps.api.api import api
from apps.api.models import IdempotentAnswer
from apps.api.shown_once import MARK
from apps.launch.models import Webhook
from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db
SOUNDS_SECRET = re.compile(r"password|secret|token|key$|clear", re.IGNORECASE)
TELLS_OF_ONE = {"must_change_password", "has_key"}  # yes or no, not the secret itself


class Shows(NamedTuple):
    """A route that shows a secret: what to send, the secret's field, and what is made."""

    path: str
    body: dict[str, object]
    field: str
    made: type


ROUTES = [
    Shows("/users", {"username": "grace"}, "password", User),
    Shows("/keys", {"name": "ci", "scopes": ["read"]}, "key", ApiKey),
    Shows("/webhooks", {"url": "https://1.1.1.1/hook"}, "secret", Webhook),
]
PAGES = [
    ("/settings/users/", {"username": "grace", "role": "viewer"}),
    ("/settings/users/{bob}/password/", {}),
    ("/settings/keys/", {"name": "ci", "scopes": "read"}),
    ("/settings/webhooks/", {"url": "https://1.1.1.1/hook"}),
]


def everything_stored() -> str:
    """Each cell of each table, and the sessions unpacked."""
    tables = connection.introspection.table_names()
    with connection.cursor() as cursor:
        rows = []
        for table in tables:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            rows.append(repr([[_cell(cell) for cell in row] for row in cursor.fetchall()]))
    sessions = [repr(session.get_decoded()) for session in Session.objects.all()]
    assert "alice" in "".join(rows)
    return "\n".join([*rows, *sessions])


def _cell(cell: object) -> object:
    return bytes(cell) if isinstance(cell, memoryview) else cell


@pytest.fixture
def caller(alice, project, key_of) -> Caller:
    return Caller(key_of(alice))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_a_secret_is_answered_once_and_kept_nowhere(caller, route):
    first = caller.post(route.path, route.body, **{"Idempotency-Key": "k1"})
    secret = first.json()[route.field]
    n_made = route.made.objects.count()
    assert (first.status_code, len(secret) >= 14, first.json()["note"]) == (201, True, None)
    assert IdempotentAnswer.objects.get().status == 201
    assert secret not in everything_stored()
    again = caller.post(route.path, route.body, **{"Idempotency-Key": "k1"})
    assert (again.status_code, again["Idempotent-Replay"]) == (201, "true")
    assert again.json()[route.field] is None
    assert "shown once" in again.json()["note"]
    rest = {k: v for k, v in first.json().items() if k not in (route.field, "note")}
    assert rest.items() <= again.json().items()
    assert route.made.objects.count() == n_made


@pytest.mark.parametrize(("path", "form"), PAGES)
def test_a_page_that_shows_a_secret_leaves_it_nowhere(alice, bob, project, client_of, path, form):
    alice.is_superuser = True
    alice.save(update_fields=["is_superuser"])
    member = project.membership_set.get(user=bob)
    answer = client_of(alice).post(path.format(bob=member.pk), form)
    secret = re.search(
        r'id="(?:one-time|new-key|new-secret)"[^>]*>([^<]+)<', answer.content.decode()
    )[1]
    assert len(secret) >= 14
    assert secret not in everything_stored()


def test_every_route_that_shows_a_secret_says_so_and_is_tried_above():
    marked, unmarked = set(), set()
    schemas = api.get_openapi_schema()["components"]["schemas"]
    for path, methods in api.get_openapi_schema()["paths"].items():
        for method, operation in methods.items():
            for answer in operation["responses"].values():
                for name, shape in _fields(answer, schemas):
                    if shape.get(MARK):
                        marked.add((method, path.removeprefix("/api/v1"), name))
                    elif method == "post" and SOUNDS_SECRET.search(name):
                        unmarked.add(name)
    assert marked == {("post", route.path, route.field) for route in ROUTES}
    assert unmarked == TELLS_OF_ONE


def _fields(answer: object, schemas: dict[str, object]):
    """(name, shape) of each field of an answer, whatever it refers to."""
    match answer:
        case {"$ref": str(where)}:
            yield from _fields(schemas[where.rpartition("/")[2]], schemas)
        case dict():
            yield from answer.get("properties", {}).items()
            for inner in answer.values():
                yield from _fields(inner, schemas)
        case list():
            for inner in answer:
                yield from _fields(inner, schemas)
