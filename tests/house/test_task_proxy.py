"""`/task/…`: the web passes calls on to the task app and adds nothing of its own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings

from engine.http.app import make_app
from engine.http.settings import read_settings
from synthweb import task_proxy
from tests.faults.test_r12_task_app_server import body_of, stored
from tests.servers import web
from tests.servers.http_app import serve_app
from tests.servers.instance import free_port
from tests.servers.openai_server import OpenAIServer
from tests.servers.waiting import wait_until

KEY = {"X-API-Key": "env-key-0123456789"}


@pytest.fixture
def model() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def url(model: OpenAIServer, tmp_path: Path, monkeypatch: Any, db: None) -> Iterator[str]:
    """The web's address of the task app."""
    environment = {
        "ENVIRONMENT_API_KEY": KEY["X-API-Key"],
        "SYNTHWEB_ALLOW_HOSTS": f"127.0.0.1:{model.port}",
    }
    made = read_settings(environment, tasks=["crafter"], trace_db=tmp_path / "traces.db")
    with serve_app(make_app(made)) as behind, web.serve() as server:
        monkeypatch.setattr(settings, "TASK_APP_INTERNAL_URL", behind)
        yield f"{server.url}/task/grpo-crafter"


def test_a_rollout_goes_through_and_the_address_is_the_webs(url, model):
    answer = httpx.post(f"{url}/rollout", json=body_of(model, "r1"), headers=KEY, timeout=30)
    assert (answer.status_code, answer.json()["metrics"]["num_steps"]) == (200, 3)
    assert httpx.get(f"{url}/info", headers=KEY).json()["inference"]["base_url"] == f"{url}/proxy"
    assert httpx.get(f"{url}/health").status_code == 401
    assert len(httpx.get(f"{url}/task_info?seed=1&seed=2", headers=KEY).json()) == 2


def test_a_caller_that_hangs_up_on_the_web_ends_its_episode(url, model, tmp_path):
    model.script("ok", "hang")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{url}/rollout", json=body_of(model, "gone"), headers=KEY, timeout=1)
    ((_, turns, about),) = wait_until(lambda: stored(tmp_path), "the trace")
    assert (turns, about["ended"]) == (1, "cancelled")


def test_a_task_app_that_is_away_is_said_in_words(url, monkeypatch):
    monkeypatch.setattr(task_proxy, "STARTING_S", 0.2)
    monkeypatch.setattr(settings, "TASK_APP_INTERNAL_URL", "http://127.0.0.1:9")
    answer = httpx.get(f"{url}/health", headers=KEY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "task_app_away")


def test_a_task_app_that_starts_after_the_web_is_waited_for(url, monkeypatch):
    port = free_port()
    httpx.get(f"{url}/health", timeout=20)  # so that the web has loaded what it needs
    monkeypatch.setattr(settings, "TASK_APP_INTERNAL_URL", f"http://127.0.0.1:{port}")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(httpx.get, f"{url}/health", headers=KEY, timeout=20)
        with pytest.raises(TimeoutError):
            asked.result(timeout=1)
        with serve_app(make_app(read_settings({}, tasks=["crafter"], trace_db=None)), port):
            assert asked.result(timeout=20).status_code != 502


def test_a_body_that_is_too_large_is_not_passed_on(url):
    answer = httpx.post(f"{url}/rollout", content=b"x" * (3 << 20), headers=KEY)
    assert answer.status_code == 413
