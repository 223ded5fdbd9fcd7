"""A training from reward whose games our own task app plays as a process of its own, over HTTP: the
ids that were sampled for it are the ids that are trained.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from engine.errors import ConfigError
from engine.jobs.elsewhere import make_remote_games
from engine.llm.types import Reply, Sampling, ToolCall
from engine.rollout.policies import ScriptedPolicy
from engine.serve.recorder import recording
from engine.traces.codec import decode_trace
from engine.traces.record import Turn
from engine.train.rl_remote import attach
from tests.engine.jobs.processes import events, run_here
from tests.engine.train.players import (
    logprob_distance,
    make_trainer,
    plan_of,
    rl_config,
    rl_directory,
)
from tests.servers.instance import free_port
from tests.servers.task_app_server import TaskAppServer
from tests.servers.waiting import wait_until

KEY = "environment-key"


class App(NamedTuple):
    """A task app: where it is, and the port at which it may ask a model."""

    url: str
    answer_port: int

    def inputs(self) -> dict[str, Any]:
        return {"url": self.url, "key_env": "APP_KEY"}


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    port, answer_port = free_port(), free_port()
    environment = {
        **os.environ,
        "ENVIRONMENT_API_KEY": KEY,
        "SYNTHWEB_ALLOW_HOSTS": f"127.0.0.1:{answer_port}",
    }
    command = [sys.executable, "-m", "engine.http", "--task", "crafter", "--port", str(port)]
    process = subprocess.Popen(command, env=environment)
    try:
        wait_until(lambda: listens(port), "the task app", 60)
        yield App(f"http://127.0.0.1:{port}", answer_port)
    finally:
        process.terminate()
        process.wait(timeout=20)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def elsewhere(url: str, answer_port: int | None = None) -> dict[str, Any]:
    config = rl_config(lockstep=False, iterations_per_epoch=1)
    return {**config, "services": {"task_url": url, "answer_port": answer_port}}


@pytest.mark.slow
def test_the_ids_sampled_for_a_task_app_are_the_ids_trained(
    player: Path, app: App, tmp_path: Path
) -> None:
    plan = plan_of(elsewhere(app.url, app.answer_port))
    games = make_remote_games(
        {"task_app": app.inputs()}, plan, run="run", environment={"APP_KEY": KEY}
    )
    trainer, notes = make_trainer(plan, player, tmp_path, remote=games)
    played = trainer.player.play(1, notes.store)
    assert played.n_unmatched == 0
    assert all(trace.verified for trace in played.traces)
    assert logprob_distance(trainer, played.traces) < 1e-3


@pytest.mark.slow
def test_a_run_learns_from_games_that_a_task_app_played(
    player: Path, app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_KEY", KEY)
    directory = rl_directory(tmp_path / "run", player, elsewhere(app.url, app.answer_port))
    give_task_app(directory, app.inputs())
    assert run_here(directory) == 0
    (metric,) = events(directory, "metric")
    assert metric["values"]["train.loss"] != 0
    assert metric["values"]["train.turns"] > 10
    paths = [directory / e["payload"]["path"] for e in events(directory, "episode")]
    assert all(turn.completion_ids for p in paths for turn in decode_trace(p.read_bytes()).turns)
    assert any(c["final"] for c in events(directory, "checkpoint"))


@pytest.mark.slow
def test_a_task_app_that_never_asks_the_model_fails_the_run_with_words(
    player: Path, tmp_path: Path
) -> None:
    with TaskAppServer() as server:
        directory = rl_directory(tmp_path / "run", player, elsewhere(server.url))
        give_task_app(directory, {"url": server.url})
        assert run_here(directory) != 0
    (result,) = events(directory, "result")
    assert result["error"]["code"] == "task_app_silent"
    assert "inference_url" in result["error"]["hint"]


def give_task_app(directory: Path, task_app: dict[str, Any]) -> None:
    path = directory / "config.json"
    raw = json.loads(path.read_text())
    raw["inputs"]["task_app"] = task_app
    path.write_text(json.dumps(raw))


def turn_of(arguments: str) -> Turn:
    calls = [{"id": "1", "name": "interact_many", "arguments": arguments}]
    return Turn(0, [], "", calls, [])


def reply_of(arguments: str, token: int) -> Reply:
    call = ToolCall("1", "interact_many", arguments)
    return Reply("", (call,), "tool_calls", "", completion_ids=(token,), logprobs=(-0.5,))


def test_a_told_turn_gets_the_ids_of_its_own_call_only() -> None:
    turns = [turn_of('{"actions": ["do"]}'), turn_of('{"actions": ["noop"]}')]
    replies = [reply_of('{"actions":["do"]}', 7), reply_of('{"actions": ["sleep"]}', 8)]
    assert attach(turns, replies) == 1
    assert [turn.completion_ids for turn in turns] == [[7], []]


def test_a_call_too_many_in_between_leaves_no_turn_trained() -> None:
    turns = [turn_of('{"actions": ["do"]}')]
    replies = [reply_of('{"actions": ["do"]}', token) for token in (7, 8, 9)]
    assert attach(turns, replies) == 1
    assert turns[0].completion_ids == []


def test_a_port_that_is_taken_is_named() -> None:
    async def answer(port: int) -> None:
        async with recording(ScriptedPolicy("none", lambda *_: None), Sampling(), port):
            pass

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"answer_port = {port}"):
            asyncio.run(answer(port))
