"""Evals and rollouts as a worker starts them: processes, kills, resumes, verified traces."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.events import read_events
from engine.jobs.job import open_job
from engine.jobs.verify import run as run_verify
from engine.lease import Cancellation
from engine.tasks import get_task
from engine.traces.codec import decode_trace, encode_trace
from tests.servers.openai_server import OpenAIServer

ROOT = Path(__file__).resolve().parents[3]


def write_run(
    directory: Path, *, seeds: list[int], policy: dict[str, Any], finished: Any = (), **config: Any
) -> Path:
    model = policy.get("model", policy["kind"])
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(
        {
            "run": "r",
            "kind": "eval",
            "config": {"type": "eval", "model": model, "seeds": seeds, "max_turns": 3, **config},
            "inputs": {"policy": policy},
            "episodes": [{"seed": seed, "repeat": 0} for seed in seeds],
            "finished": list(finished),
        }
    )
    (directory / "config.json").write_text(text)
    return directory


def remote(server: OpenAIServer, **more: Any) -> dict[str, Any]:
    return {"kind": "openai", "name": "local", "base_url": server.base_url, "model": "m", **more}


def start(directory: Path, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "engine", str(directory)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stderr=subprocess.DEVNULL,
    )


def of_type(directory: Path, name: str) -> list[dict[str, Any]]:
    return [row.data for row, _ in read_events(directory / "events.jsonl") if row.type == name]


def wait_until(true: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_an_eval_announces_each_episode_with_its_trace_and_its_figures(tmp_path: Path):
    write_run(tmp_path, seeds=[5, 6, 7], policy={"kind": "random"})
    assert start(tmp_path).wait(60) == 0
    episodes = of_type(tmp_path, "episode")
    assert sorted(row["summary"]["seed"] for row in episodes) == [5, 6, 7]
    for row in episodes:
        trace = decode_trace((tmp_path / row["payload"]["path"]).read_bytes())
        assert trace.summary.to_json() == row["summary"]
    result = of_type(tmp_path, "result")[0]
    values = result["values"]
    assert (result["ok"], values["scored"], values["calls"]) == (True, 3, 9)
    assert values["achievements"]["low"] <= values["achievements"]["mean"]
    assert len(values["per_achievement"]) == 22
    assert of_type(tmp_path, "progress")[-1] == {"done": 3, "total": 3, "unit": "episodes"}
    assert "episodes.achievements" in of_type(tmp_path, "metric")[-1]["values"]


def test_a_killed_eval_goes_on_where_it_was_and_counts_every_episode_once(tmp_path: Path):
    seeds = list(range(30))
    with OpenAIServer(latency_s=0.05) as server:
        first = write_run(tmp_path / "1", seeds=seeds, policy=remote(server), concurrency=4)
        child = start(first)
        wait_until(lambda: len(of_type(first, "episode")) >= 5)
        child.send_signal(signal.SIGKILL)
        child.wait()
        kept = [[row["summary"]["seed"], 0] for row in of_type(first, "episode")]
        assert 5 <= len(kept) < 30
        second = write_run(
            tmp_path / "2", seeds=seeds, policy=remote(server), concurrency=4, finished=kept
        )
        assert start(second).wait(60) == 0
    played = [row["summary"]["seed"] for row in of_type(second, "episode")]
    assert sorted(played + [seed for seed, _ in kept]) == seeds
    assert of_type(second, "progress")[0]["done"] == len(kept)
    assert of_type(second, "progress")[-1] == {"done": 30, "total": 30, "unit": "episodes"}
    assert of_type(second, "result")[0]["values"]["earlier"] == len(kept)


def test_r14_a_cancelled_eval_ends_within_seconds_and_keeps_what_it_has(tmp_path: Path):
    with OpenAIServer() as server:
        server.choose = lambda body: "hang" if len(server.requests) > 12 else None
        write_run(tmp_path, seeds=list(range(20)), policy=remote(server), concurrency=4)
        child = start(tmp_path)
        wait_until(lambda: len(server.requests) > 14)
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 4
    result = of_type(tmp_path, "result")
    assert [row["error"]["code"] for row in result] == ["cancelled"]
    endings = [row["summary"]["ended"] for row in of_type(tmp_path, "episode")]
    assert endings.count("max_turns") >= 1
    assert set(endings) <= {"max_turns", "cancelled"}


def test_the_same_command_goes_on_in_the_same_directory(tmp_path: Path):
    write_run(tmp_path, seeds=[1, 2], policy={"kind": "random"})
    assert start(tmp_path).wait(60) == 0
    write_run(tmp_path, seeds=[1, 2, 3], policy={"kind": "random"})
    assert start(tmp_path).wait(60) == 0
    assert [row["summary"]["seed"] for row in of_type(tmp_path, "episode")][2:] == [3]


def test_a_game_whose_file_a_power_failure_tore_is_played_again(tmp_path: Path):
    write_run(tmp_path, seeds=[1, 2], policy={"kind": "random"})
    assert start(tmp_path).wait(60) == 0
    first = of_type(tmp_path, "episode")
    torn = next(row for row in first if row["summary"]["seed"] == 2)
    (tmp_path / torn["payload"]["path"]).write_bytes(b"")
    assert start(tmp_path).wait(60) == 0
    again = of_type(tmp_path, "episode")[2:]
    assert [row["summary"]["seed"] for row in again] == [2]
    assert again[0]["summary"]["final_hash"] == torn["summary"]["final_hash"]


def test_a_key_comes_from_the_environment_and_is_written_nowhere(tmp_path: Path):
    with OpenAIServer() as server:
        server.script("401")
        write_run(tmp_path, seeds=[1, 2], policy=remote(server, key_env="SOME_KEY"))
        assert start(tmp_path, SOME_KEY="sk-verysecret").wait(60) == 0
        assert set(server.keys) == {"Bearer sk-verysecret"}
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or b"verysecret" not in file.read_bytes()


def test_a_missing_key_is_named(tmp_path: Path):
    policy = {"kind": "openai", "name": "groq", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
    write_run(tmp_path, seeds=[1], policy={**policy, "key_env": "NO_SUCH_KEY"})
    assert start(tmp_path).wait(60) == 3
    error = of_type(tmp_path, "result")[0]["error"]
    assert error["code"] == "config_error"
    assert "key of groq is missing: NO_SUCH_KEY" in error["message"]


def verify(directory: Path, traces: list[dict[str, Any]]) -> dict[str, Any]:
    directory.mkdir()
    (directory / "config.json").write_text(
        json.dumps({"kind": "verify", "inputs": {"traces": traces}})
    )
    return run_verify(open_job(directory, Cancellation()))


def test_r29_fifty_stored_episodes_replay_to_the_same_hashes_in_a_fresh_process(tmp_path: Path):
    play = write_run(tmp_path / "play", seeds=list(range(50)), policy={"kind": "guide"})
    assert start(play, PYTHONHASHSEED="1").wait(120) == 0
    rows = of_type(play, "episode")
    traces = [
        {
            "id": row["summary"]["seed"],
            "path": str(play / row["payload"]["path"]),
            "sha256": row["payload"]["sha256"],
        }
        for row in rows
    ]
    check = tmp_path / "check"
    check.mkdir()
    (check / "config.json").write_text(json.dumps({"kind": "verify", "inputs": {"traces": traces}}))
    assert start(check, PYTHONHASHSEED="2").wait(120) == 0
    values = of_type(check, "result")[0]["values"]
    assert (values["n_ok"], values["n_bad"]) == (50, 0)
    assert {row["n_steps"] for row in values["reports"]} != {0}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("action", "state"),
        ("hash", "state"),
        ("reward", "reward"),
        ("view", "view is not"),
        ("seed", "fresh world differs"),
        ("version", "it was played in crafter-0"),
        ("unlocked", "unlocked"),
    ],
)
def test_r29_a_changed_trace_says_where_it_differs(tmp_path: Path, change: str, reason: str):
    play = write_run(tmp_path / "play", seeds=[3], policy={"kind": "guide"}, max_turns=6)
    assert start(play).wait(60) == 0
    path = play / of_type(play, "episode")[0]["payload"]["path"]
    trace = decode_trace(path.read_bytes())
    step = trace.steps[4]
    if change == "action":
        step.action = "sleep"
    elif change == "hash":
        step.state_hash = "0" * 16
    elif change == "reward":
        step.reward += 1
    elif change == "view":
        step.view = bytes(len(step.view))
    elif change == "seed":
        trace.summary.seed = 4
    elif change == "version":
        trace.summary.world_version = "crafter-0"
    else:
        step.unlocked = (*step.unlocked, "eat_cow")
    path.write_bytes(encode_trace(trace))
    (report,) = verify(tmp_path / "check", [{"id": 1, "path": str(path)}])["reports"]
    assert not report["ok"]
    assert reason in report["reason"]
    early = change in ("seed", "version")
    assert report["first_bad_step"] == (None if early else 4)


def test_r29_files_that_are_no_traces_are_findings_not_crashes(tmp_path: Path):
    torn = tmp_path / "torn"
    torn.write_bytes(b"SWTR\x01")
    rows = [
        {"id": 1, "path": str(torn)},
        {"id": 2, "path": str(tmp_path / "gone")},
        {"id": 3, "path": str(torn), "sha256": "0" * 64},
    ]
    values = verify(tmp_path / "check", rows)
    assert values["n_bad"] == 3
    assert "not the one that was stored" in values["reports"][2]["reason"]


def test_r29_drawing_or_looking_between_steps_changes_no_world():
    task = get_task("crafter")
    plain, watched = (task.new_game(11, {}) for _ in range(2))
    for index in range(60):
        action = task.actions[1 + index % 5]
        if watched.ending():
            break
        watched.view(), watched.text(), watched.details(), watched.snapshot()
        plain.step(action)
        watched.step(action)
        assert plain.state_hash() == watched.state_hash()
