"""S13: a task app's key: wrong, missing or in the query is 401, and no answer helps to guess it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from engine.http.app import make_app
from engine.http.settings import read_settings
from tests.servers.openai_server import OpenAIServer

KEY, ALIAS = "env-key-0123456789abcdef", "alias-key-fedcba9876543210"


def make_client(tmp_path: Path | None = None, **environment: str) -> TestClient:
    trace_db = tmp_path / "traces.db" if tmp_path else None
    settings = read_settings(environment, tasks=["crafter"], trace_db=trace_db)
    return TestClient(make_app(settings), follow_redirects=False)


@pytest.fixture(scope="module")
def client() -> TestClient:
    return make_client(ENVIRONMENT_API_KEY=KEY, ENVIRONMENT_API_KEY_ALIASES=f"x, {ALIAS}")


def every_route(client: TestClient) -> list[tuple[str, str]]:
    """(method, path) of all that the application answers, `/` apart, which is open."""
    found, queue = [], [("", route) for route in client.app.routes]  # type: ignore[attr-defined]
    while queue:
        prefix, route = queue.pop()
        if isinstance(route, Mount):
            queue += [(prefix + route.path, inner) for inner in route.routes]
        elif isinstance(route, Route) and route.path != "/":
            path = prefix + route.path.replace("{env}", "crafter").replace("{run_id}", "r")
            found.append(("GET" if "GET" in (route.methods or ()) else "POST", path))
    return found


def test_every_route_but_the_root_needs_the_key(client):
    routes = every_route(client)
    assert len(routes) > 60
    for method, path in routes:
        answer = client.request(method, path)
        assert answer.status_code == 401, path
    assert client.get("/").json() == {"status": "ok", "service": "grpo-crafter"}
    assert client.head("/").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": "wrong"},
        {"X-API-Key": KEY[:-1]},
        {"X-API-Key": KEY + "0"},
        {"X-API-Key": KEY.upper()},
        {"X-API-Keys": f"wrong,{KEY[:15]}"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": f"Bearer {KEY[:20]}"},
        {"Cookie": f"key={KEY}"},
    ],
)
def test_a_wrong_key_gets_401_and_no_part_of_the_right_one(client, headers):
    answer = client.get("/health", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["detail"]["error"]["code"] == "unauthorised"
    said = answer.text + str(answer.headers)
    assert not any(key[i : i + 4] in said for key in (KEY, ALIAS) for i in range(len(key) - 4))


@pytest.mark.parametrize("name", ["key", "api_key", "x_api_key", "X-API-Key", "token"])
def test_a_key_in_the_address_does_not_count(client, name):
    assert client.get("/health", params={name: KEY}).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": KEY},
        {"X-API-Key": ALIAS},
        {"X-API-Keys": f"other , {KEY}"},
        {"Authorization": f"bearer {ALIAS}"},
    ],
)
def test_the_key_and_its_aliases_are_taken_in_any_of_three_headers(client, headers):
    assert client.get("/health", headers=headers).status_code == 200


def test_without_a_configured_key_nobody_gets_in():
    answer = make_client().get("/health", headers={"X-API-Key": ""})
    assert answer.status_code == 503
    assert "ENVIRONMENT_API_KEY" in answer.text


def test_debug_env_says_which_keys_are_set_and_none_of_them():
    client = make_client(ENVIRONMENT_API_KEY=KEY, GROQ_API_KEY="gsk-secret-secret")
    answer = client.get("/debug/env", headers={"X-API-Key": KEY})
    assert answer.json()["upstreams"]["groq"]["key"] is True
    assert "secret" not in answer.text
    assert KEY not in answer.text


def rollout(url: str, **config: Any) -> dict[str, Any]:
    return {
        "run_id": "r",
        "env": {"seed": 1, "config": {"difficulty": "easy"}},
        "policy": {"config": {"model": "m", "inference_url": url, **config}},
        "ops": ["agent", "env"],
        "record": {"return_trace": True, "trace_format": "full"},
    }


def test_a_url_that_a_caller_names_never_gets_the_operators_key(tmp_path):
    with OpenAIServer() as stranger, OpenAIServer() as ours:
        client = make_client(
            tmp_path,
            ENVIRONMENT_API_KEY=KEY,
            SYNTH_API_KEY="operators-synth-key",
            BACKEND_BASE_URL=f"http://127.0.0.1:{ours.port}/api",
            GROQ_API_KEY="operators-groq-key",
            SYNTHWEB_ALLOW_HOSTS=f"127.0.0.1:{stranger.port}",
        )
        headers = {"X-API-Key": KEY}
        stranger.default = "401"
        for config in ({}, {"provider": "groq"}, {"provider": "synth"}):
            body = rollout(f"http://127.0.0.1:{stranger.port}", **config)
            assert client.post("/rollout", headers=headers, json=body).status_code == 200
        assert [key for key in stranger.keys if key] == []
        own = rollout(f"http://127.0.0.1:{stranger.port}", api_key="callers-own-key")
        answer = client.post("/rollout", headers=headers, json=own)
        assert stranger.keys[-1].endswith("callers-own-key")
        assert "callers-own-key" not in answer.text
        assert b"callers-own-key" not in (tmp_path / "traces.db").read_bytes()
        body = rollout(f"http://127.0.0.1:{ours.port}/api/inference")
        assert client.post("/rollout", headers=headers, json=body).status_code == 200
        assert ours.keys[-1].endswith("operators-synth-key")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9", "http://localhost:8000", "http://169.254.169.254/latest",
        "http://[::1]:80", "http://10.0.0.1", "http://0x7f000001", "file:///etc/passwd",
        "http://user:pw@example.com", "gopher://x", "http://", "nonsense", "http://127.1:80/v1",
    ],
)  # fmt: skip
def test_a_url_that_leads_inside_is_refused_before_anything_is_called(client, url):
    answer = client.post("/rollout", headers={"X-API-Key": KEY}, json=rollout(url))
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]["error"]["code"] in (
        "private_address", "bad_url", "unknown_host",
    )  # fmt: skip
