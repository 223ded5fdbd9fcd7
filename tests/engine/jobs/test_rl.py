"""Reinforcement learning as a run: a real process, real kills, a checkpoint that others load."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from engine.events import read_events
from engine.traces.codec import decode_trace
from tests.engine.train.players import make_player, rl_config, rl_directory

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("SYNTHWEB_TEST_KILLS", "3"))


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_player(tmp_path_factory.mktemp("player"))


def start(directory: Path) -> subprocess.Popen[bytes]:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-m", "engine", str(directory)], env=env)


def events(directory: Path, type_: str) -> list[dict[str, Any]]:
    return [e.data for e, _ in read_events(directory / "events.jsonl") if e.type == type_]


def wait_for(directory: Path, type_: str, n: int = 1, deadline_s: float = 120) -> None:
    end = time.monotonic() + deadline_s
    while len(events(directory, type_)) < n:
        assert time.monotonic() < end, f"no {type_} event within {deadline_s} s"
        time.sleep(0.02)


def final_weights(directory: Path) -> dict[str, Any]:
    weights: dict[str, Any] = load_file(directory / "checkpoint" / "model.safetensors")
    return weights


def newest(directory: Path) -> dict[str, Any] | None:
    """What the next attempt is given: the newest announced checkpoint that is whole."""
    for data in reversed(events(directory, "checkpoint")):
        if not data["final"]:
            return {
                "path": str(directory / data["path"]),
                **{k: data[k] for k in ("step", "files")},
            }
    return None


def losses(directory: Path) -> dict[int, float]:
    return {m["step"]: m["values"]["train.loss"] for m in events(directory, "metric")}


def test_it_ends_with_a_checkpoint_its_games_and_its_curves(player: Path, tmp_path: Path) -> None:
    directory = rl_directory(tmp_path / "run", player, rl_config(lockstep=False))
    assert start(directory).wait(timeout=180) == 0
    (final,) = [c for c in events(directory, "checkpoint") if c["final"]]
    assert (final["kind"], final["method"], final["step"]) == ("rl", "full", 3)
    assert {m["step"] for m in events(directory, "metric")} == {1, 2, 3}
    episodes = events(directory, "episode")
    assert len(episodes) == 6  # the first game of each group
    trace = decode_trace((directory / episodes[0]["payload"]["path"]).read_bytes())
    assert trace.turns[0].completion_ids
    (result,) = events(directory, "result")
    assert result["ok"]
    assert result["values"]["iterations"] == 3


def test_r13_killed_at_random_moments_it_ends_as_if_it_had_not_been(
    player: Path, tmp_path: Path
) -> None:
    config = rl_config(iterations_per_epoch=5)
    whole = rl_directory(tmp_path / "whole", player, config)
    started = time.monotonic()
    assert start(whole).wait(timeout=240) == 0
    took_s = time.monotonic() - started
    dice, resume, seen = random.Random(0), None, dict[int, float]()
    for attempt in range(KILLS):
        directory = rl_directory(tmp_path / str(attempt), player, config, resume)
        process = start(directory)
        wait_for(directory, "log")
        time.sleep(dice.uniform(0, took_s / 2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        seen |= losses(directory)
        resume = newest(directory) or resume
    last = rl_directory(tmp_path / "last", player, config, resume)
    assert start(last).wait(timeout=240) == 0
    assert seen | losses(last) == pytest.approx(losses(whole), abs=1e-4)
    expected = final_weights(whole)
    assert all((expected[name] == w).all() for name, w in final_weights(last).items())


def test_r14_cancel_keeps_what_was_learned(player: Path, tmp_path: Path) -> None:
    directory = rl_directory(tmp_path / "run", player, rl_config(iterations_per_epoch=1000))
    process = start(directory)
    wait_for(directory, "metric", 2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=15) == 4
    (result,) = events(directory, "result")
    assert result["error"]["code"] == "cancelled"
    checkpoint = newest(directory)
    assert checkpoint is not None
    assert checkpoint["step"] == len(events(directory, "metric"))
