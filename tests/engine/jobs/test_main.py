"""`python -m engine RUN_DIR`: how a run ends; a process of its own, real signals and pipes."""

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

ROOT = Path(__file__).resolve().parents[3]
Start = Callable[..., subprocess.Popen[bytes]]


def write_run(directory: Path, kind: str = "noop", **config: Any) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"run": "r", "kind": kind, "config": config, "inputs": {}})
    (directory / "config.json").write_text(text)
    return directory


def events(directory: Path) -> list[Any]:
    return [event for event, _ in read_events(directory / "events.jsonl")]


def wait_until(true: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `python -m engine`; what still runs at the end is killed."""
    children: list[subprocess.Popen[bytes]] = []

    def begin(directory: Path, *, fds: tuple[int, ...] = (), **environment: str) -> Any:
        child = subprocess.Popen(
            [sys.executable, "-m", "engine", str(directory)],
            cwd=ROOT,
            env={**os.environ, **environment},
            pass_fds=fds,
            stderr=subprocess.PIPE,
        )
        children.append(child)
        return child

    yield begin
    for child in children:
        child.kill()
        child.wait()


def test_a_run_ends_with_its_result(tmp_path: Path, start: Start):
    child = start(write_run(tmp_path, n_steps=3))
    assert child.wait(20) == 0
    last = events(tmp_path)[-1]
    assert (last.type, last.data) == ("result", {"ok": True, "values": {"steps": 3}, "error": None})
    assert child.stderr is not None
    assert b"3/3 steps" in child.stderr.read()


def test_a_failed_run_says_why_and_keeps_its_figures(tmp_path: Path, start: Start):
    assert start(write_run(tmp_path, n_steps=3, fail_at=2)).wait(20) == 3
    result = events(tmp_path)[-1].data
    assert (result["error"]["code"], result["values"]) == ("training_error", {"steps": 1})


def test_a_crash_in_a_job_is_a_result_with_a_hint(tmp_path: Path, start: Start):
    assert start(write_run(tmp_path, n_steps="many")).wait(20) == 3
    result = events(tmp_path)[-1].data
    assert result["error"]["code"] == "crash"
    assert "ValueError" in result["error"]["message"]


def test_an_unknown_kind_names_the_known(tmp_path: Path, start: Start):
    assert start(write_run(tmp_path, kind="dance")).wait(20) == 3
    assert "known: base, eval" in events(tmp_path)[-1].data["error"]["message"]


@pytest.mark.parametrize("text", [None, "{", "[]", '{"kind": 3}', '{"kind": "noop", "config": []}'])
def test_an_unusable_directory_is_named(tmp_path: Path, start: Start, text: str | None):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    child = start(tmp_path)
    assert child.wait(20) == 3
    assert child.stderr is not None
    assert b"config" in child.stderr.read()


def test_sigterm_is_an_orderly_stop(tmp_path: Path, start: Start):
    child = start(write_run(tmp_path, n_steps=10_000, step_s=0.01))
    wait_until(lambda: len(events(tmp_path)) > 4)
    child.send_signal(signal.SIGTERM)
    assert child.wait(10) == 4
    result = events(tmp_path)[-1].data
    assert (result["ok"], result["error"]["code"]) == (False, "cancelled")
    assert result["values"]["steps"] >= 2


def test_a_stop_by_hand_is_gone_on_with_by_the_same_command(tmp_path: Path, start: Start):
    first = start(write_run(tmp_path, n_steps=10_000, step_s=0.01))
    wait_until(lambda: len(events(tmp_path)) > 4)
    first.send_signal(signal.SIGINT)
    assert first.wait(10) == 4
    write_run(tmp_path, n_steps=2)
    assert start(tmp_path).wait(20) == 0
    rows = events(tmp_path)
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert rows[-1].data["ok"]


def test_two_processes_never_run_one_directory(tmp_path: Path, start: Start):
    start(write_run(tmp_path, n_steps=10_000, step_s=0.01))
    wait_until(lambda: events(tmp_path))
    second = start(tmp_path)
    assert second.wait(20) == 5
    assert second.stderr is not None
    assert b"Another process is running" in second.stderr.read()


def test_a_killed_run_leaves_whole_events_and_its_directory_free(tmp_path: Path, start: Start):
    child = start(write_run(tmp_path, n_steps=10, crash_at=5))
    assert child.wait(20) == -signal.SIGKILL
    assert events(tmp_path)[-1].type != "result"
    write_run(tmp_path, n_steps=1)
    assert start(tmp_path).wait(20) == 0
