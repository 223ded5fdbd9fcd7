"""S1: nobody sees or changes what is not theirs, on every endpoint that the OpenAPI lists."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import pytest
from django.test import Client
from ninja import NinjaAPI

from apps.api.api import api
from tests.estate import Estate, make_estate

pytestmark = pytest.mark.django_db
OPEN = {"/api/v1/docs", "/api/v1/openapi.json"}  # descriptions of the API, without data
ADMIN_ONLY = {"/api/v1/keys", "/api/v1/users", "/api/v1/audit", "/api/v1/webhooks"}


class Door(NamedTuple):
    method: str
    path: str  # with {parameters}

    def at(self, estate: Estate) -> str:
        names = set(re.findall(r"{(\w+)}", self.path))
        return self.path.format(**estate.fill(names))


def doors(of: NinjaAPI = api) -> list[Door]:
    """Every operation of the API."""
    paths: dict[str, Any] = of.get_openapi_schema()["paths"]
    return [Door(method.upper(), path) for path, item in paths.items() for method in item]


def knock(door: Door, estate: Estate, key: str = "", query: str = "") -> Any:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return Client(headers=headers).generic(
        door.method, door.at(estate) + query, b"{}", content_type="application/json"
    )


def body_of(response: Any) -> str:
    return b"".join(response).decode() if response.streaming else response.content.decode()


@pytest.fixture
def estate(actor) -> Estate:
    return make_estate(actor)


def test_the_walk_sees_the_whole_api():
    assert len(doors()) > 40
    assert Door("GET", "/api/v1/runs/{run_id}") in doors()


@pytest.mark.parametrize("door", doors(), ids=lambda d: f"{d.method} {d.path}")
def test_without_a_key_every_door_is_shut(estate, door):
    response = knock(door, estate)
    assert response.status_code == 401
    assert estate.secret not in body_of(response)


@pytest.mark.parametrize("door", doors(), ids=lambda d: f"{d.method} {d.path}")
def test_a_stranger_with_a_key_of_elsewhere_never_sees_or_changes_a_thing(
    estate, door, mallory, key_of
):
    query = f"?runs={estate.run_id},{estate.run_id + 1}" if "compare" in door.path else ""
    response = knock(door, estate, key_of(mallory), query)
    assert estate.secret not in body_of(response)
    if "{" in door.path or "compare" in door.path:
        assert response.status_code in (404, 422), body_of(response)


@pytest.mark.parametrize("door", doors(), ids=lambda d: f"{d.method} {d.path}")
def test_a_reader_may_read_but_not_write(estate, door, bob, key_of):
    response = knock(door, estate, key_of(bob))
    if door.method != "GET" or door.path in ADMIN_ONLY:
        assert response.status_code == 403, body_of(response)
        assert json.loads(response.content)["error"]["code"] == "forbidden"
    else:
        assert response.status_code != 403


@pytest.mark.parametrize("path", sorted(OPEN))
def test_the_description_of_the_api_holds_no_data(estate, path):
    assert estate.secret not in body_of(Client().get(path))
