"""S1: nobody sees or changes what is not theirs, on every page, stream and route outside Django.

The API's own endpoints are walked in test_s01_api_access.py. Both walks start from the registries
(URLconf, ROUTES), so that a new address is visited at once or stops the tests by its parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import httpx
import pytest
from django.conf import settings
from django.contrib import admin
from django.test import Client
from django.urls import URLPattern, URLResolver
from django.utils.timezone import now

from apps.accounts.models import ApiKey, Membership, User
from apps.checkpoints.models import Checkpoint
from apps.datasets.models import Dataset
from apps.launch.models import Pipeline, Webhook
from apps.providers.models import Provider
from apps.runs.models import Config, LiveView, Run
from apps.traces.models import Episode, Label
from apps.web.urls import urlpatterns as pages_urls
from engine.http.app import make_app
from engine.http.settings import read_settings
from synthweb import urls as root
from synthweb.routes import ROUTES, Route, find_route
from tests.estate import Estate, make_estate
from tests.servers import web
from tests.servers.http_app import serve_app

ClientOf = Callable[[User], Client]
OPEN = ("/healthz", "/readyz")  # say that the process lives, nothing about anybody
OWN_DOOR = ("/login/", "/logout/")
OWN = ("settings-password", "project-switch")  # change the caller's own session and account only
VERBS = {
    "webhook-act": ("test", "delete", "unheard-of"),
    "member-act": ("role", "remove", "password", "unheard-of"),
    "run-act": ("cancel", "resume", "retry-failed", "clone", "delete", "unheard-of"),
    "checkpoint-act": ("play", "serve", "stop", "delete", "unheard-of"),
    "pipeline-act": ("cancel", "continue", "unheard-of"),
}
UNREAD = ("dataset", "dataset-diff", "dataset-export", "checkpoint-file", "checkpoint-archive")
STREAMED = {  # what a subscriber of a run would ask for, by the name of the route
    "stream": ("/stream/?topic=run:{run_id}", "/stream/?topic=live:{run_id}"),
    "run-events": ("/api/v1/runs/{run_id}/events",),
    "synth-events": ("/api/rl/jobs/{job_id}/events",),
}


class Page(NamedTuple):
    name: str
    path: str  # with {parameters}
    verb: str = ""

    def at(self, estate: Estate, live_id: int) -> str:
        known: dict[str, Any] = {
            **estate._asdict(), "name": estate.path, "index": 0, "live_id": live_id,
            "verb": self.verb,
        }  # fmt: skip
        return self.path.format(**{name: known[name] for name in self.parameters})

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)


def pages_below(patterns: list[URLPattern | URLResolver], prefix: str = "/") -> Iterator[Page]:
    """Every address of the pages, with `{name}` where a parameter stands."""
    for pattern in patterns:
        path = prefix + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            yield from pages_below(pattern.url_patterns, path)
        else:
            name = str(pattern.name)
            for verb in VERBS[name] if "{verb}" in path else ("",):
                yield Page(name, path, verb)


PAGES = [page for page in pages_below(pages_urls) if page.path not in OWN_DOOR]
NAMED = [page for page in PAGES if page.parameters]
each_route = pytest.mark.parametrize("route", ROUTES, ids=lambda r: r.name)


@pytest.fixture
def estate(actor) -> Estate:
    return make_estate(actor)


@pytest.fixture
def task_app(monkeypatch) -> Iterator[None]:
    """Our own task app, where the web passes calls on to."""
    environment = {"ENVIRONMENT_API_KEY": "environment-key"}
    made = make_app(read_settings(environment, tasks=["crafter"], trace_db=None))
    with serve_app(made) as url:
        monkeypatch.setattr(settings, "TASK_APP_INTERNAL_URL", url)
        yield


@pytest.fixture
def live_id(estate: Estate) -> int:
    """A game of the estate that is being played."""
    run = Run.objects.get(pk=estate.run_id)
    data = {"first_step": 0, "views": ["AA=="], "rewards": [0.0], "unlocks": [], "n_turns": 1,
            "call": estate.secret}  # fmt: skip
    return LiveView.objects.create(
        run=run, shard=run.shards.get(), key='["k"]', seed=1, model=estate.secret, data=data,
        updated_at=now(),
    ).pk  # fmt: skip


def text_of(response: Any) -> str:
    headers = str(dict(response.headers))
    if response.streaming:
        return headers + b"".join(response).decode("latin-1")
    return headers + str(response.content.decode())


def test_every_part_of_the_urlconf_is_walked_by_some_test():
    mounted = {module for _, module in root.MOUNTED}
    assert mounted == {"apps.web.urls", "apps.api.urls", "apps.synth.urls"}
    single = {f"/{p.pattern}" for p in root.urlpatterns if isinstance(p, URLPattern)}
    assert single == {*OPEN, "/metrics"}
    assert len(PAGES) > 45
    assert {page.path for page in PAGES} >= {"/", "/runs/{run_id}/", "/settings/keys/"}


def test_every_route_outside_django_has_an_address_that_leads_to_it():
    for route in ROUTES:
        found = find_route(route.methods[0], route.example.partition("?")[0], route.accept)
        assert found is not None, route
        assert found[0] is route
        assert route.auth != "account" or STREAMED[route.name], "say what a stranger would ask"


@pytest.mark.django_db
def test_nobody_gets_in_without_logging_in(estate, live_id):
    ways = list(product(("GET", "POST", "PUT", "DELETE"), ({}, {"HX-Request": "true"})))
    for page, (method, htmx) in product(PAGES, ways):
        answer = Client(headers=htmx).generic(method, page.at(estate, live_id))
        assert answer.status_code in (302, 401, 405), (method, page)
        assert answer.status_code != 302 or answer["Location"].startswith("/login/"), page
        assert estate.secret not in text_of(answer), page


@pytest.mark.django_db
def test_a_stranger_never_reads_a_word_of_the_project(estate, live_id, mallory, client_of):
    browser = client_of(mallory)
    for page, htmx in product(PAGES, ({}, {"HX-Request": "true"})):
        answer = browser.get(page.at(estate, live_id), headers=htmx)
        assert estate.secret not in text_of(answer), page
        if page.name == "live-game":  # a game that is over leads to the list: the same answer
            assert (answer.status_code, answer.headers.get("Location")) == (302, "/live/")
        elif page.parameters:
            assert answer.status_code in (404, 405), page


@pytest.mark.django_db
def test_a_stranger_changes_nothing_of_the_project(estate, live_id, mallory, client_of):
    browser, before = client_of(mallory), rows_of(estate)
    for page in NAMED:
        answer = browser.post(page.at(estate, live_id), {"name": "x", "notes": "mine"})
        assert answer.status_code in (404, 405), page
        assert estate.secret not in text_of(answer), page
        assert rows_of(estate) == before, page


@pytest.mark.django_db
def test_a_reader_reads_and_changes_nothing(estate, live_id, bob, client_of):
    browser, before = client_of(bob), rows_of(estate)
    form = {"what": "random", "name": "x", "text": "a = 1", "notes": "mine", "tags": "x"}
    for page in PAGES:
        answer = browser.post(page.at(estate, live_id), form)
        assert answer.status_code in ((404, 422) if page.name in OWN else (403, 405)), page
        assert rows_of(estate) == before, page


def rows_of(estate: Estate) -> list[Any]:
    """What a refused request must leave as it is."""
    project = Run.objects.get(pk=estate.run_id).project
    runs = list(Run.objects.filter(project=project).order_by("pk").values())
    others = (ApiKey, Checkpoint, Config, Dataset, Membership, Pipeline, Provider, Webhook)
    kept = [list(model.objects.filter(project=project).values()) for model in others]
    games = [list(model.objects.values()) for model in (Episode, Label, LiveView)]
    return [runs, *kept, *games]


@pytest.mark.django_db
def test_the_owner_finds_what_the_others_did_not(estate, live_id, alice, client_of):
    """Otherwise a 404 above would show nothing: the addresses are those of real things."""
    browser = client_of(alice)
    for page in NAMED:
        answer = browser.get(page.at(estate, live_id))
        unread = page.name in UNREAD  # no such file in storage
        assert answer.status_code in ((200, 405, 422) if unread else (200, 405)), page


@pytest.mark.django_db
def test_figures_are_for_this_machine_or_a_key(estate, alice, key_of):
    assert Client().get("/metrics", REMOTE_ADDR="127.0.0.1").status_code == 200
    far = Client(REMOTE_ADDR="192.0.2.1")
    assert far.get("/metrics").status_code == 401
    by_proxy = Client().get("/metrics", headers={"X-Forwarded-For": "192.0.2.1"})
    assert by_proxy.status_code == 401
    answer = far.get("/metrics", headers={"Authorization": f"Bearer {key_of(alice)}"})
    assert answer.status_code == 200
    assert estate.secret not in answer.content.decode()


@pytest.mark.django_db
def test_what_is_open_says_nothing_about_anybody(estate):
    for path in OPEN:
        assert estate.secret not in text_of(Client().get(path))


@pytest.mark.django_db
def test_the_admin_pages_are_for_staff_only(estate, alice, mallory, client_of):
    sites = [f"/admin/{m._meta.app_label}/{m._meta.model_name}/" for m in admin.site._registry]
    assert len(sites) > 3
    for path in ("/admin/", *sites):
        assert Client().get(path)["Location"].startswith("/admin/login/")
        for user in (mallory, alice):  # owning a project does not make staff
            assert client_of(user).get(path)["Location"].startswith("/admin/login/")


@pytest.mark.django_db(transaction=True)
@each_route
def test_routes_outside_django_open_to_those_who_may_only(
    route, task_app, estate, alice, bob, mallory, client_of, key_of
):
    with web.serve() as server:
        for path in STREAMED.get(route.name, ()):
            url = server.url + path.format(run_id=estate.run_id, job_id=estate.job_id)
            assert status(url, route) == 401
            assert status(url, route, {"Authorization": "Bearer sw_nonsense"}) == 401
            for strange in (cookie(client_of(mallory)), bearer(key_of(mallory))):
                assert status(url, route, strange) == 404
            for member in (bob, alice):
                assert status(url, route, cookie(client_of(member))) == 200
        assert status(server.url + route.example, route) == 401


@pytest.mark.django_db(transaction=True)
def test_a_stranger_is_told_of_no_model_of_the_project(estate, alice, mallory, key_of):
    with web.serve() as server:
        url = f"{server.url}/api/inference/v1/"
        body = {"model": estate.secret, "messages": [{"role": "user", "content": "hello"}]}
        for user, told in ((alice, True), (mallory, False)):
            headers = bearer(key_of(user))
            listed = httpx.get(f"{url}models", headers=headers)
            assert listed.status_code == 200
            assert (estate.secret in listed.text) is told
        refused = httpx.post(f"{url}chat/completions", headers=bearer(key_of(mallory)), json=body)
        assert refused.status_code == 404
        assert "ck_00000000beef" not in refused.text


@pytest.mark.django_db(transaction=True)
def test_a_method_that_a_route_does_not_name_is_refused(estate, client_of, alice):
    with web.serve() as server:
        for route in ROUTES:
            for method in {"POST", "PUT", "DELETE"} - set(route.methods):
                headers = {"Accept": route.accept or "*/*", **cookie(client_of(alice))}
                answer = httpx.request(method, server.url + route.example, headers=headers)
                assert answer.status_code == 405, (route.name, method)


def status(url: str, route: Route, headers: dict[str, str] | None = None) -> int:
    """The status of a GET; a stream that opens is closed at once. A secret in it fails."""
    headers = {"Accept": route.accept or "*/*", **(headers or {})}
    with httpx.stream("GET", url, headers=headers, timeout=10) as answer:
        if answer.status_code != 200:
            assert b"estate-secret" not in answer.read()
        return answer.status_code


def cookie(client: Client) -> dict[str, str]:
    name = settings.SESSION_COOKIE_NAME
    return {"Cookie": f"{name}={client.cookies[name].value}"}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
