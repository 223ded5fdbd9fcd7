"""R10: a model API that fails in every way. Retried within a budget a run, then the episode ends as
model_error and the others go on; the run says how many."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ProviderError
from engine.events import read_events
from engine.jobs.job import Job, open_job
from engine.jobs.rollout import run
from engine.lease import Cancellation
from tests.servers.openai_server import OpenAIServer

FAULTS = ("429:0.05", "500", "hang", "stall", "truncated", "schema", "huge", "refusal", "close")


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.llm.budget.FIRST_WAIT_S", 0.002)


SILENT = ("hang", "stall")


def patience(fault: str) -> float:
    """Seconds until a silent server is given up; others answer, however busy the machine is."""
    return 1.0 if fault in SILENT else 60.0


def play(directory: Path, server: OpenAIServer, n: int, timeout_s: float = 60) -> dict[str, Any]:
    """Run an eval of `n` episodes of 4 turns in this process; its result values."""
    return run(prepare(directory, server, n, timeout_s=timeout_s))


def prepare(
    directory: Path, server: OpenAIServer, n: int, retries: int = 200, timeout_s: float = 60
) -> Job:
    """An eval of `n` episodes of 4 turns, all at once."""
    config = {
        "type": "eval",
        "model": "m",
        "seeds": list(range(n)),
        "max_turns": 4,
        "concurrency": n,
        "limits": {"retries": retries},
    }
    policy = {"kind": "openai", "base_url": server.base_url, "model": "m"}
    policy["limits"] = {"timeout_s": timeout_s}  # type: ignore[assignment]
    text = json.dumps({"kind": "eval", "config": config, "inputs": {"policy": policy}})
    (directory / "config.json").write_text(text)
    return open_job(directory, Cancellation())


def summaries(directory: Path) -> list[dict[str, Any]]:
    rows = [event for event, _ in read_events(directory / "events.jsonl")]
    return [row.data["summary"] for row in rows if row.type == "episode"]


@pytest.mark.parametrize("fault", FAULTS)
def test_r10_a_passing_fault_costs_a_retry_and_no_episode(
    tmp_path: Path, server: OpenAIServer, fault: str
):
    server.script("ok", fault, "ok", "ok", fault)
    values = play(tmp_path, server, 3, patience(fault))
    assert values["endings"] == {"max_turns": 3}
    assert values["scored"] == 3
    assert len(server.requests) == 3 * 4 + 2
    # A kept connection that was closed unanswered is replaced at no cost to the budget.
    assert values["retries"] == 2 or fault == "close"


@pytest.mark.parametrize("fault", FAULTS)
def test_r10_a_lasting_fault_breaks_its_episode_only(
    tmp_path: Path, server: OpenAIServer, fault: str
):
    marked = {"text": ""}

    def choose(body: dict[str, Any]) -> str | None:
        prompt = body["messages"][-1]["content"]
        marked["text"] = marked["text"] or prompt  # the first world that asks is unlucky
        return fault if prompt == marked["text"] else None

    server.choose = choose
    values = play(tmp_path, server, 4, patience(fault))
    assert values["endings"] == {"max_turns": 3, "model_error": 1}
    assert (values["episodes"], values["scored"]) == (4, 3)
    broken = [row for row in summaries(tmp_path) if row["ended"] == "model_error"]
    assert broken[0]["error"]


def test_r10_the_budget_is_the_runs_and_bounds_what_is_asked(tmp_path: Path, server: OpenAIServer):
    server.choose = lambda body: "500" if len(server.requests) > 3 else None
    job = prepare(tmp_path, server, 6, retries=5)
    with pytest.raises(ProviderError, match="this attempt has used all 5"):
        run(job)
    assert job.values["endings"] == {"model_error": 6}
    assert job.values["retries"] == 5
    assert len(server.requests) == 3 + 6 + 5


def test_r10_an_attempt_keeps_to_its_share_of_the_runs_budget_and_reports_it(
    tmp_path: Path, server: OpenAIServer
):
    server.choose = lambda body: "500" if len(server.requests) > 3 else None
    job = prepare(tmp_path, server, 6, retries=200)
    job.retries = 5  # what the supervisor writes into config.json
    with pytest.raises(ProviderError):
        run(job)
    assert len(server.requests) == 3 + 6 + 5
    told = [e.data for e, _ in read_events(tmp_path / "events.jsonl") if e.type == "progress"]
    assert sum(data.get("retried", 0) for data in told) == 5


def test_r10_retry_after_is_waited_for(tmp_path: Path, server: OpenAIServer):
    server.script("429:0.7")
    play(tmp_path, server, 1)
    assert server.times[1] - server.times[0] >= 0.7


def test_r10_a_run_without_one_good_episode_fails_and_says_so(tmp_path: Path, server: OpenAIServer):
    server.default = "401"
    started = time.monotonic()
    with pytest.raises(ProviderError, match="All 5 episodes broke; the last one: bad_status"):
        play(tmp_path, server, 5)
    assert time.monotonic() - started < 10
    assert len(summaries(tmp_path)) == 5
