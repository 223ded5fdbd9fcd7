"""R13: kill -9 at random moments of a training from reward; with lockstep, what resumes ends bit
for bit as the training left alone. SYNTHWEB_TEST_KILLS says how many; 20 with SYNTHWEB_SOAK=1.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.engine.jobs.processes import final_weights, losses, newest, start, wait_for
from tests.engine.train.players import rl_config, rl_directory

pytestmark = pytest.mark.slow
SOAK = "20" if os.environ.get("SYNTHWEB_SOAK") else "3"
KILLS = int(os.environ.get("SYNTHWEB_TEST_KILLS", SOAK))


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
