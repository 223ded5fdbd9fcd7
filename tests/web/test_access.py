"""Who may open what: strangers learn nothing, viewers change nothing, text stays text."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import URLPattern

from apps.accounts.models import Project, User
from apps.runs.models import Run
from apps.traces.models import Episode
from apps.web.urls import urlpatterns
from tests.games import make_run, make_trace, store_games

pytestmark = pytest.mark.django_db

ClientOf = Callable[[User], Client]
EVIL = "<script>alert(1)</script>"
OPEN = ("login", "logout")
EXISTING = {"run_id": 1, "trace_id": 1, "index": 0, "dataset_id": 1, "config_id": 1}
WORDS = {"verb": "cancel", "uid": "ck_000000000000", "name": "config.json"}
CHANGES = (
    "/start/", "/runs/bulk/", "/runs/{run}/cancel/", "/runs/{run}/resume/", "/runs/{run}/clone/",
    "/runs/{run}/delete/", "/runs/{run}/notes/", "/traces/{trace}/verify/",
    "/traces/{trace}/fork/", "/traces/bulk/", "/saved/", "/tour/close/", "/traces/{trace}/labels/",
    "/configs/new/", "/configs/_check/", "/queue/act/", "/datasets/new/",
    "/settings/keys/", "/settings/providers/", "/settings/aliases/",
    "/settings/users/", "/settings/projects/", "/settings/webhooks/",
)  # fmt: skip


SETTINGS = [f"/settings/{name}" for name in (
    "", "keys/", "providers/", "aliases/", "users/", "projects/", "storage/", "workers/",
)]  # fmt: skip


@pytest.fixture
def run(project: Project) -> Run:
    return make_run(project, name=f"games {EVIL}", model=f"tiny{EVIL}")


@pytest.fixture
def trace(run: Run) -> Episode:
    return store_games(
        run, [make_trace(7, unlocks=("collect_wood", "place_table"), model=f"t{EVIL}")]
    )[0]


def _address(pattern: URLPattern) -> str:
    names = pattern.pattern.converters
    address = "/" + str(pattern.pattern)
    for name in names:
        value = str(WORDS.get(name, EXISTING.get(name, 1)))
        start = address.index("<")
        address = address[:start] + value + address[address.index(">") + 1 :]
    return address


@pytest.mark.parametrize("pattern", urlpatterns, ids=lambda pattern: pattern.name)
def test_nobody_sees_any_page_without_logging_in(pattern: URLPattern) -> None:
    if pattern.name in OPEN:
        return
    address = _address(pattern)
    for answer in (Client().get(address), Client().post(address)):
        assert answer.status_code in (302, 405), address
        if answer.status_code == 302:
            assert answer["Location"].startswith("/login/"), address


@pytest.mark.parametrize(
    "address",
    [
        "/runs/{run}/", "/runs/{run}/_status/", "/runs/{run}/_scores/", "/runs/{run}/_episodes/",
        "/runs/{run}/_groups/",
        "/runs/{run}/points/", "/traces/{trace}/", "/traces/{trace}/steps/",
        "/traces/{trace}/_turns/", "/traces/{trace}/turns/0/", "/traces/{trace}/_verified/",
        "/compare/?runs={run},{run2}",
    ],
)  # fmt: skip
def test_a_stranger_finds_nothing_of_another_project(
    address: str, run: Run, trace: Episode, mallory: User, client_of: ClientOf
) -> None:
    where = address.format(run=run.pk, trace=trace.pk, run2=run.pk + 1)
    assert client_of(mallory).get(where).status_code == 404


@pytest.mark.parametrize("address", CHANGES)
def test_a_viewer_changes_nothing(
    address: str, run: Run, trace: Episode, bob: User, client_of: ClientOf
) -> None:
    before = Run.objects.count()
    where = address.format(run=run.pk, trace=trace.pk)
    answer = client_of(bob).post(where, {"what": "random", "name": "x", "text": "a = 1"})
    assert answer.status_code == 403, where
    assert Run.objects.count() == before


def test_a_viewer_gets_pages_without_buttons(
    run: Run, trace: Episode, bob: User, client_of: ClientOf
) -> None:
    for address in (
        "/",
        "/runs/",
        f"/runs/{run.pk}/",
        "/traces/",
        f"/traces/{trace.pk}/",
        *SETTINGS,
    ):
        page = client_of(bob).get(address).content.decode()
        forms = page.count('method="post"')
        assert forms == 1, f"{address}: only logging out changes anything, found {forms} forms"


@pytest.mark.parametrize(
    "address",
    ["/", "/runs/", "/runs/{run}/", "/traces/", "/traces/{trace}/", "/compare/", "/queue/"],
)
def test_names_and_models_stay_text(
    address: str, run: Run, trace: Episode, alice: User, client_of: ClientOf
) -> None:
    page = client_of(alice).get(address.format(run=run.pk, trace=trace.pk))
    assert page.status_code == 200
    assert EVIL not in page.content.decode()
    assert "'unsafe" not in page["Content-Security-Policy"]


def test_what_a_model_said_stays_text(run: Run, alice: User, client_of: ClientOf) -> None:
    trace = make_trace(9)
    trace.turns[0].content = EVIL
    trace.turns[0].raw_calls = [{"id": "1", "name": EVIL, "arguments": EVIL}]
    [episode] = store_games(run, [trace])
    for address in (f"/traces/{episode.pk}/", f"/traces/{episode.pk}/turns/0/"):
        page = client_of(alice).get(address).content.decode()
        assert EVIL not in page
        assert "&lt;script&gt;" in page


def test_a_form_without_its_token_is_refused(run: Run, alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    answer = client.post(f"/runs/{run.pk}/cancel/")
    assert answer.status_code == 403
    assert "expired" in answer.content.decode()


@pytest.mark.parametrize("value", ["abc", "9" * 40, "-1", "%00", "1e9"])
@pytest.mark.parametrize(
    "address", ["/traces/?run=", "/traces/?cursor=", "/runs/?cursor=", "/compare/?runs="]
)
def test_odd_parameters_are_answered_in_words(
    address: str, value: str, alice: User, project: Project, client_of: ClientOf
) -> None:
    answer = client_of(alice).get(address + value)
    assert answer.status_code in (200, 404, 422)


def test_login_leads_only_to_pages_of_ours(alice: User) -> None:
    form = {"username": "alice", "password": "correct horse battery staple"}
    answer = Client().post("/login/", {**form, "next": "https://evil.example/"})
    assert answer["Location"] == "/"
    answer = Client().post("/login/", {**form, "next": "/runs/"})
    assert answer["Location"] == "/runs/"


def test_a_wrong_password_and_an_unknown_user_look_the_same(alice: User) -> None:
    pages = [
        Client().post("/login/", {"username": name, "password": "wrong"}).content.decode()
        for name in ("alice", "nobody")
    ]
    assert "do not match" in pages[0]
    assert _words(pages[0]) == _words(pages[1].replace("nobody", "alice"))


def _words(page: str) -> str:
    import re

    return re.sub(r'(csrfmiddlewaretoken" value|X-CSRFToken": )[^>]*', "", page)
