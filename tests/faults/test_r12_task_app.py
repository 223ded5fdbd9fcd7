"""R12: a remote task app that dies mid-episode, answers late or changes its schema. Retried within
the run's budget, then its episode ends as task_error with words, and the neighbours play on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import Cancelled, TaskError
from engine.events import read_events
from engine.jobs.job import Job, open_job
from engine.jobs.rollout import run
from engine.lease import Cancellation
from tests.servers.task_app_server import TaskAppServer
from tests.servers.waiting import wait_until

KEY = "env-key-0123456789"
PASSING = ("close", "half", "500", "503", "429:0.01", "html", "empty")
LASTING = (
    "close", "half", "500", "400", "401", "404", "redirect", "html", "huge", "echo",
    "schema:no_trajectories", "schema:trajectories_dict", "schema:empty", "schema:steps_text",
    "schema:calls_renamed", "schema:reward_text", "schema:list",
)  # fmt: skip


@pytest.fixture
def server() -> Iterator[TaskAppServer]:
    with TaskAppServer(key=KEY) as running:
        yield running


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.llm.budget.FIRST_WAIT_S", 0.002)
    monkeypatch.setenv("TEST_TASK_APP_KEY", KEY)


def prepare(
    directory: Path, server: TaskAppServer, n: int, *, timeout_s: float = 60, **more: Any
) -> Job:
    """An eval of `n` episodes of 3 turns through the task app, all at once."""
    config = {
        "type": "eval", "model": "m", "seeds": list(range(n)), "max_turns": 3, "concurrency": n,
        "task_app_url": server.url, **more,
    }  # fmt: skip
    inputs = {
        "policy": {"kind": "openai", "base_url": "http://models.example/v1", "model": "m"},
        "task_app": {
            "url": server.url,
            "inference_url": "http://models.example",
            "key_env": "TEST_TASK_APP_KEY",
            "limits": {"timeout_s": timeout_s},
        },
    }
    text = json.dumps({"kind": "eval", "run": "job_1", "config": config, "inputs": inputs})
    (directory / "config.json").write_text(text)
    return open_job(directory, Cancellation())


def episodes(directory: Path) -> list[dict[str, Any]]:
    rows = [event for event, _ in read_events(directory / "events.jsonl")]
    return sorted(
        (row.data for row in rows if row.type == "episode"), key=lambda d: d["summary"]["seed"]
    )


@pytest.mark.parametrize("fault", PASSING)
def test_r12_a_passing_fault_costs_a_retry_and_no_episode(tmp_path: Path, server, fault: str):
    server.script("ok", fault)
    values = run(prepare(tmp_path, server, 3))
    assert values["endings"] == {"max_turns": 3}
    assert values["retries"] == 1
    tries = [body["run_id"].endswith("-try1") for body in server.rollouts]
    assert tries.count(True) == 1


@pytest.mark.parametrize("fault", LASTING)
def test_r12_a_lasting_fault_breaks_its_episode_only_and_says_why(tmp_path, server, fault: str):
    server.choose = lambda body: fault if body["env"]["seed"] == 1 else None
    values = run(prepare(tmp_path, server, 3))
    assert values["endings"] == {"max_turns": 2, "task_error": 1}
    assert (values["episodes"], values["scored"]) == (3, 2)
    error = episodes(tmp_path)[1]["summary"]["error"]
    assert error.startswith(("task_app_", "task_error"))
    assert "task app" in error
    assert KEY not in error
    changed = fault.startswith("schema")
    assert len(server.rollouts) == 3 + (0 if changed or fault in FINAL else 2)


FINAL = ("400", "401", "404", "redirect", "huge", "echo")  # asking again gives the same


def test_r12_a_late_answer_ends_at_the_deadline_and_the_task_app_is_told(tmp_path, server):
    server.choose = lambda body: "hang" if body["env"]["seed"] == 0 else "late:0.05"
    began = time.monotonic()
    values = run(prepare(tmp_path, server, 4, timeout_s=0.5))
    assert values["endings"] == {"max_turns": 3, "task_error": 1}
    assert time.monotonic() - began < 5
    assert "did not answer within 0.5 s" in episodes(tmp_path)[0]["summary"]["error"]
    assert "/run/abort" in server.paths


def test_r12_a_task_app_that_dies_for_good_fails_the_run_and_says_so(tmp_path, server):
    job = prepare(tmp_path, server, 3, limits={"retries": 2})
    server.stop()
    with pytest.raises(TaskError, match=r"All 3 episodes broke.*went away"):
        run(job)
    assert job.values["retries"] == 2


def cancelled_run(job: Job) -> None:
    with pytest.raises(Cancelled):
        run(job)


def test_r12_cancelling_leaves_no_episode_waiting(tmp_path: Path, server: TaskAppServer):
    server.default = "hang"
    job = prepare(tmp_path, server, 2)
    thread = threading.Thread(target=cancelled_run, args=(job,))
    thread.start()
    wait_until(lambda: len(server.rollouts) == 2, "both rollouts")
    job.cancelled.set()
    thread.join(10)
    assert not thread.is_alive()
    assert episodes(tmp_path) == []
