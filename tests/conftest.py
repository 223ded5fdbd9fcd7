"""The cast and the real parts that tests share: `alice` owns, `bob` reads, `mallory` is a stranger.

Servers live in tests/servers/: `redis.py`, `postgres.py`, `instance.py` (a whole synthweb).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.test import Client

from apps.accounts import services
from apps.accounts.models import Project, Role, User
from apps.accounts.queries import Actor, actor_of_session, role_in
from synthweb import bell
from tests.servers import instance as instances
from tests.servers import postgres, redis

PASSWORD = "correct horse battery staple"


def make_user(name: str) -> User:
    return services.create_user(username=name, password=PASSWORD)


@pytest.fixture
def alice(db: None) -> User:
    return make_user("alice")


@pytest.fixture
def project(alice: User) -> Project:
    """The project of alice, in which everything of a test happens."""
    return services.create_project(slug="games", name="Games", owner=alice)


@pytest.fixture
def bob(project: Project) -> User:
    """May read the project, nothing more."""
    user = make_user("bob")
    services.set_member(project=project, user=user, role=Role.VIEWER)
    return user


@pytest.fixture
def mallory(db: None) -> User:
    """A user of another project, a stranger in this one."""
    user = make_user("mallory")
    services.create_project(slug="elsewhere", name="Elsewhere", owner=user)
    return user


@pytest.fixture
def actor(alice: User, project: Project) -> Actor:
    """alice in her project, as a session gives her."""
    found = actor_of_session(alice, project.pk)
    assert found is not None
    return found


@pytest.fixture
def client_of() -> Callable[[User], Client]:
    """A browser's client, logged in."""

    def log_in(user: User) -> Client:
        client = Client(enforce_csrf_checks=False)
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def key_of(project: Project) -> Callable[..., str]:
    """A clear API key of a user: `key_of(bob, scopes=["read"])`."""

    def make(user: User, scopes: tuple[str, ...] = ("read", "write", "admin")) -> str:
        where = project if role_in(user, project) else user.projects.get()
        return services.create_api_key(project=where, user=user, name="test", scopes=scopes).clear

    return make


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real server on a socket of its own; nothing else uses it."""
    with redis.serve() as server:
        yield server.url


@pytest.fixture
def broker(redis_url: str, settings: object) -> str:
    """This process's bell and Celery talk to a real broker."""
    settings.BROKER_URL = redis_url  # type: ignore[attr-defined]
    bell.forget_client()
    return redis_url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """An empty database in a throw-away cluster; skips, loudly, where there is no Postgres."""
    if postgres.binaries() is None:
        pytest.skip("no Postgres server on this machine: apt install postgresql")
    with postgres.serve() as url:
        yield url


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[instances.Instance]:
    """A whole synthweb in a home of its own: supervisor, broker, web, worker, ticker."""
    home: Path = tmp_path_factory.mktemp("instance")
    with instances.run(home) as started:
        yield started
