"""Reinforcement learning as a run: a real process, real kills, a checkpoint that others load."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from engine.traces.codec import decode_trace
from tests.engine.jobs.processes import events, newest, start, wait_for
from tests.engine.train.players import rl_config, rl_directory

pytestmark = pytest.mark.slow


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
