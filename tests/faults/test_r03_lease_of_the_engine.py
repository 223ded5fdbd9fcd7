"""R3, the engine's side: a child without a lease or a parent stops itself, and writes no result."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.events import read_events

ROOT = Path(__file__).resolve().parents[2]


def wait_until(true: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def types(directory: Path) -> list[str]:
    return [event.type for event, _ in read_events(directory / "events.jsonl")]


class Leased:
    """A long run with a lease pipe whose write end we hold."""

    def __init__(self, directory: Path, silence_s: float) -> None:
        config = {"kind": "noop", "config": {"n_steps": 100_000, "step_s": 0.01}}
        (directory / "config.json").write_text(json.dumps(config))
        self.directory = directory
        read_end, self.write_end = os.pipe()
        self.child = subprocess.Popen(
            [sys.executable, "-m", "engine", str(directory)],
            cwd=ROOT,
            pass_fds=(read_end,),
            env={
                **os.environ,
                "SYNTHWEB_LEASE_FD": str(read_end),
                "SYNTHWEB_LEASE_S": str(silence_s),
                "SYNTHWEB_PARENT_PID": str(os.getpid()),
            },
        )
        os.close(read_end)
        wait_until(lambda: types(directory))

    def say(self, word: bytes) -> None:
        os.write(self.write_end, word)


@pytest.fixture
def lease(tmp_path: Path) -> Iterator[Callable[[float], Leased]]:
    started: list[Leased] = []

    def begin(silence_s: float) -> Leased:
        started.append(Leased(tmp_path, silence_s))
        return started[-1]

    yield begin
    for run in started:
        run.child.kill()
        run.child.wait()


def test_r03_a_closed_pipe_ends_the_child_without_a_result(lease: Callable[[float], Leased]):
    run = lease(30)
    os.close(run.write_end)
    assert run.child.wait(5) == 5
    assert "result" not in types(run.directory)


def test_r03_silence_ends_the_child_and_renewals_keep_it(lease: Callable[[float], Leased]):
    run = lease(1.0)
    for _ in range(8):
        run.say(b"r")
        time.sleep(0.25)  # the promise is about time: renewals over twice the silence
    assert run.child.poll() is None
    renewed = time.monotonic()
    assert run.child.wait(10) == 5
    assert 0.5 < time.monotonic() - renewed < 5
    assert "result" not in types(run.directory)


def test_r14_a_cancel_by_the_pipe_ends_with_a_result(lease: Callable[[float], Leased]):
    run = lease(30)
    run.say(b"c")
    run.say(b"c")
    assert run.child.wait(10) == 4
    assert types(run.directory)[-1] == "result"


def test_r03_a_child_dies_with_its_supervisor(tmp_path: Path):
    config = {"kind": "noop", "config": {"n_steps": 100_000, "step_s": 0.01}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    supervisor = subprocess.Popen(
        [sys.executable, "-c", _SUPERVISOR, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert supervisor.stdout is not None
    child = int(supervisor.stdout.readline())
    wait_until(lambda: types(tmp_path))
    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()
    wait_until(lambda: not _alive(child), seconds=5)
    assert "result" not in types(tmp_path)


_SUPERVISOR = """
import os, subprocess, sys, time
environment = {**os.environ, "SYNTHWEB_PARENT_PID": str(os.getpid())}
child = subprocess.Popen([sys.executable, "-m", "engine", sys.argv[1]], env=environment)
print(child.pid, flush=True)
time.sleep(60)
"""


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
