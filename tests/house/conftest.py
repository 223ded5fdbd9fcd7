"""A run to stream, and the web that streams it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from django.test import Client

from apps.accounts.models import Project, User
from apps.runs import services
from apps.runs.models import Run
from tests.servers import web


@pytest.fixture
def make_run(project: Project, alice: User) -> Callable[[], Run]:
    def make() -> Run:
        return services.create_run(
            project=project,
            user=alice,
            kind="noop",
            name="noop",
            config=None,
            resolved={},
            inputs={},
            shards=[services.ShardPlan(need="rollout", episodes=[], total=1)],
        )

    return make


@pytest.fixture
def server(broker: str) -> Iterator[web.WebServer]:
    with web.serve() as started:
        yield started


@pytest.fixture
def cookie_of(client_of: Callable[[User], Client]) -> Callable[[User], dict[str, str]]:
    """The headers of a logged-in browser."""

    def headers(user: User) -> dict[str, str]:
        name = settings.SESSION_COOKIE_NAME
        return {"Cookie": f"{name}={client_of(user).cookies[name].value}"}

    return headers
