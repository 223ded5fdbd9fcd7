"""R12, seen from the server: clients that hang up, slow models, rollouts that are many at once.

Whatever happens to its caller, what a task app has played is kept.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.http.app import make_app
from engine.http.settings import read_settings
from tests.servers.http_app import serve_app
from tests.servers.openai_server import OpenAIServer
from tests.servers.waiting import wait_until

KEY = {"X-API-Key": "env-key-0123456789"}


@pytest.fixture
def model() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        server.default = "ok:do+move_right+move_down"
        yield server


@pytest.fixture
def task_app(model: OpenAIServer, tmp_path: Path) -> Iterator[str]:
    environment = {
        "ENVIRONMENT_API_KEY": KEY["X-API-Key"],
        "SYNTHWEB_ALLOW_HOSTS": f"127.0.0.1:{model.port}",
    }
    path = tmp_path / "traces.db"
    settings = read_settings(environment, tasks=["crafter"], trace_db=path)
    with serve_app(make_app(settings)) as url:
        yield url


def body_of(model: OpenAIServer, run_id: str, turns: int = 3, **more: Any) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "env": {"env_name": "crafter", "seed": 1, "config": {"difficulty": "easy"}},
        "policy": {"config": {"model": "m", "inference_url": f"http://127.0.0.1:{model.port}"}},
        "ops": ["agent", "env"] * turns,
        **more,
    }


def stored(tmp_path: Path) -> list[tuple[str, int, dict[str, Any]]]:
    """(session, turns, our metadata) of every trace in the file."""
    with sqlite3.connect(tmp_path / "traces.db") as db:
        rows = db.execute("SELECT session_id, num_timesteps, metadata FROM session_traces")
        return [(name, turns, json.loads(text)["synthweb"]) for name, turns, text in rows]


def test_eight_rollouts_at_once_lose_no_trace(task_app, model, tmp_path):
    def play(index: int) -> dict[str, Any]:
        body = body_of(model, f"eval-{index % 4}", turns=10)  # ids are not unique
        answer = httpx.post(f"{task_app}/rollout", json=body, headers=KEY, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(play, range(8)))
    assert [answer["ops_executed"] for answer in answers] == [20] * 8
    found = stored(tmp_path)
    assert len({name for name, _, _ in found}) == 8
    assert {turns for _, turns, _ in found} == {10}


def test_a_client_that_hangs_up_ends_its_episode_and_what_was_played_is_kept(
    task_app, model, tmp_path
):
    model.script("ok", "ok", "hang")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{task_app}/rollout", json=body_of(model, "gone"), headers=KEY, timeout=1)
    ((name, turns, about),) = wait_until(lambda: stored(tmp_path), "the trace")
    assert (name, turns, about["ended"]) == ("gone", 2, "cancelled")


def test_an_aborted_run_answers_with_what_was_played(task_app, model, tmp_path):
    model.script("ok", "hang")
    answers: list[httpx.Response] = []
    body = body_of(model, "long")
    caller = threading.Thread(
        target=lambda: answers.append(
            httpx.post(f"{task_app}/rollout", json=body, headers=KEY, timeout=30)
        )
    )
    caller.start()
    wait_until(lambda: len(model.requests) == 2, "the second turn")
    status = f"{task_app}/run/status/long"
    assert httpx.get(status, headers=KEY).json()["status"] == "running"
    done = httpx.post(f"{task_app}/run/abort", json={"run_id": "long"}, headers=KEY)
    assert done.json() == {"ok": True, "run_id": "long"}
    caller.join(10)
    assert answers[0].status_code == 200
    assert answers[0].json()["aborted"] is True
    assert answers[0].json()["trajectories"][0]["length"] == 1
    assert httpx.get(status, headers=KEY).json()["status"] == "aborted"
    assert len(stored(tmp_path)) == 1


def test_a_model_that_stalls_ends_the_episode_at_its_time(task_app, model, tmp_path):
    model.script("ok", "stall")
    body = body_of(model, "slow", safety={"max_time_s": 0.5})
    answer = httpx.post(f"{task_app}/rollout", json=body, headers=KEY, timeout=30).json()
    assert answer["trajectories"][0]["length"] == 1
    assert answer["trajectories"][0]["steps"][0]["truncated"] is True
    assert stored(tmp_path)[0][2]["ended"] == "limit"


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("no_call", "partial_no_tool_calls"),
        ("unknown_action", "partial_invalid_action"),
        ("bad_json", "partial_invalid_action"),
        ("400", "partial_policy_error"),
    ],
)
def test_a_model_that_answers_nonsense_gets_200_with_the_reason(task_app, model, word, status):
    model.default = word
    answer = httpx.post(
        f"{task_app}/rollout", json=body_of(model, "odd", turns=2), headers=KEY, timeout=30
    )
    assert answer.status_code == 200
    final = answer.json()["trajectories"][0]["final"]
    assert (final["rollout_status"], bool(final["error"])) == (status, True)


def test_rollouts_that_are_played_when_the_server_stops_are_kept(model, tmp_path):
    environment = {
        "ENVIRONMENT_API_KEY": KEY["X-API-Key"],
        "SYNTHWEB_ALLOW_HOSTS": f"127.0.0.1:{model.port}",
    }
    path = tmp_path / "traces.db"
    app = make_app(read_settings(environment, tasks=["crafter"], trace_db=path))
    model.script("ok", "hang")
    answers: list[int] = []
    with serve_app(app) as url:
        body = body_of(model, "last")
        caller = threading.Thread(
            target=lambda: answers.append(
                httpx.post(f"{url}/rollout", json=body, headers=KEY, timeout=30).status_code
            )
        )
        caller.start()
        wait_until(lambda: len(model.requests) == 2, "the second turn")
    caller.join(10)
    assert answers == [200]
    assert [(name, turns) for name, turns, _ in stored(tmp_path)] == [("last", 1)]
