"""A caller with a key, as a program sees the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User

EVAL = 'type = "eval"\nmodel = "random"\nseeds = [1, 2]\nmax_steps = 5\n'


class Caller:
    """Calls `/api/v1` with a key; answers are django test responses."""

    def __init__(self, key: str) -> None:
        self.client = Client(headers={"Authorization": f"Bearer {key}"})

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"/api/v1{path}", query)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return self.client.generic(
            method, f"/api/v1{path}", _json(body), "application/json", headers=headers
        )

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.send("POST", path, body, **headers)


def _json(body: Any) -> bytes:
    import json

    return b"" if body is None else json.dumps(body).encode()


@pytest.fixture
def caller_of(key_of: Callable[[User], str]) -> Callable[[User], Caller]:
    return lambda user: Caller(key_of(user))


@pytest.fixture
def caller(alice: User, caller_of: Callable[[User], Caller]) -> Caller:
    return caller_of(alice)
