"""`/api/inference/v1`: a model id leads to its server or provider, for those with a key only."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from django.conf import settings as django_settings
from django.test import Client

from apps.checkpoints import services as serving
from apps.checkpoints.models import ModelServer
from apps.inference import callers, targets
from apps.inference.models import Usage
from apps.inference.router import application
from apps.inference.services import Counts, UsageKey, add_usage
from apps.providers.services import create_provider
from apps.runs.keys import make_run_key
from tests.games import TOOLS, make_run
from tests.servers.openai_server import OpenAIServer

pytestmark = pytest.mark.django_db(transaction=True)
URL = "/api/inference/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "play"}], "tools": TOOLS}


@pytest.fixture(autouse=True)
def _fresh():
    """Nothing remembered from another test."""
    callers._known.clear()
    targets._known.clear()


@pytest.fixture
def upstream(settings):
    """A local OpenAI-compatible server that `make up` might have started."""
    with OpenAIServer() as server:
        settings.ALLOW_HOSTS = [server.base_url.split("/")[2]]
        yield server


@pytest.fixture
def provider(actor, upstream):
    return create_provider(actor=actor, name="lab", base_url=upstream.base_url, key="hidden-key")


@pytest.fixture
def key(alice, key_of) -> str:
    return key_of(alice)


def call(key: str = "", method: str = "POST", url: str = URL, **body: Any) -> httpx.Response:
    """One request to the application, as a program sends it."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=application)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            content = json.dumps({**BODY, **body}) if method == "POST" else None
            return await client.request(method, url, content=content, headers=headers)

    return asyncio.run(send())


def test_a_providers_model_answers_under_the_asked_for_name(provider, key):
    answer = call(key, model="lab/some-model")
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == "lab/some-model"
    assert answer.json()["choices"][0]["message"]["tool_calls"]


def test_a_word_of_synths_that_model_apis_refuse_is_not_handed_on(provider, upstream, key):
    assert call(key, model="lab/some-model", thinking_budget=1028).status_code == 200
    assert "thinking_budget" not in upstream.requests[-1]


def test_an_unknown_model_is_a_404_that_lists_what_exists(provider, key, project, announce):
    announce(make_run(project, "base", model="synthweb/tiny"))
    answer = call(key, model="gpt-nonsense")
    assert answer.status_code == 404
    message = answer.json()["error"]["message"]
    assert "gpt-nonsense" in message
    assert "synthweb/tiny" in message
    assert "lab/…" in message


def test_models_are_listed(provider, key, project, announce):
    announce(make_run(project, "base", model="synthweb/tiny"))
    rows = call(key, "GET", "/api/inference/v1/models").json()["data"]
    assert [row["id"] for row in rows] == ["synthweb/tiny", "lab/…"]


def test_without_a_key_with_a_readers_key_and_from_elsewhere_nothing_is_answered(
    provider, bob, mallory, key_of
):
    assert call(model="lab/m").status_code == 401
    assert call("sk_sw_wrong", model="lab/m").status_code == 401
    assert call("rk_1.1.1~forged~x", model="lab/m").status_code == 401
    assert call(key_of(bob), model="lab/m").status_code == 403
    assert call(key_of(mallory), model="lab/m").status_code == 404


def test_a_run_key_opens_its_own_project_only(provider, project, mallory):
    own = make_run_key(project.pk, 1, 1)
    assert call(own, model="lab/m").status_code == 200
    foreign = make_run_key(mallory.projects.get().pk, 1, 1)
    assert call(foreign, model="lab/m").status_code == 404


def test_a_checkpoint_is_called_at_its_server_by_its_uid(upstream, key, project, announce):
    checkpoint = announce(make_run(project, "base", model="synthweb/tiny"))
    serving.want_model(checkpoint)
    claim = serving.claim_server(server_id=ModelServer.objects.get().pk, worker="w")
    assert claim is not None
    serving.server_ready(claim, address=upstream.base_url.removesuffix("/v1"))
    [wanted] = serving.list_wanted(claim)
    serving.model_ready(claim, served_id=wanted.served_id)
    answer = call(key, model="synthweb/tiny")
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == "synthweb/tiny"
    assert upstream.requests[-1]["model"] == checkpoint.uid
    assert claim.secret in upstream.keys[-1]


def test_a_model_whose_server_does_not_start_is_503_with_a_time_to_come_back(
    key, project, announce, monkeypatch
):
    announce(make_run(project, "base", model="synthweb/tiny"))
    monkeypatch.setattr(targets, "START_S", 0.3)
    answer = call(key, model="synthweb/tiny")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert ModelServer.objects.get().state == "wanted"


@pytest.mark.parametrize("fault", ["truncated", "html"])
def test_an_unreadable_answer_is_a_502_and_never_shows_the_key(provider, upstream, key, fault):
    upstream.script(fault)
    answer = call(key, model="lab/m")
    assert answer.status_code == 502
    assert "hidden-key" not in answer.text


def test_a_providers_own_error_is_handed_on_with_its_retry_after(provider, upstream, key):
    upstream.script("429:7")
    answer = call(key, model="lab/m")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")


@pytest.mark.parametrize("body", [{"model": 3}, {"model": ""}, {"model": "m", "messages": []}])
def test_a_bad_body_is_a_422_in_words(key, body):
    answer = call(key, **body)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"]


def test_usage_adds_up_by_hour(project):
    from django.utils.timezone import now

    hour = now().replace(minute=0, second=0, microsecond=0)
    key = UsageKey(project.pk, hour, "m", "")
    add_usage({key: Counts(2, 0, 10, 5, 0.5)})
    add_usage({key: Counts(1, 1, 1, 1, 0.25)})
    row = Usage.objects.get()
    assert (row.n_calls, row.n_errors, row.prompt_tokens, row.cost_usd) == (3, 1, 11, 0.75)


def from_page(client: Client, token: str = "") -> httpx.Response:
    """A call as a page makes it: with the session's cookies, and perhaps with its token."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=application)
        cookies = "; ".join(f"{name}={kept.value}" for name, kept in client.cookies.items())
        headers = {"Cookie": cookies, **({"X-CSRFToken": token} if token else {})}
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as browser:
            body = {**BODY, "model": "lab/some-model"}
            return await browser.post(URL, json=body, headers=headers)

    return asyncio.run(send())


def token_of(client: Client) -> str:
    client.get("/configs/new/")  # a page with a form
    return client.cookies[django_settings.CSRF_COOKIE_NAME].value


def test_a_page_may_ask_in_the_name_of_an_editor_with_its_token_only(
    provider, alice, bob, client_of
):
    browser = client_of(alice)
    token = token_of(browser)
    assert from_page(browser, token).status_code == 200
    for wrong in ("", "t" * 32):
        refused = from_page(browser, wrong)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "csrf")
    reader = client_of(bob)
    reader.get("/runs/")
    reader.cookies[django_settings.CSRF_COOKIE_NAME] = token
    assert from_page(reader, token).json()["error"]["code"] == "forbidden"
