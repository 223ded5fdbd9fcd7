"""R11: a model that cannot make a tool call. Never a crash, never silently a noop: recorded with
its reason, told to the model, counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.events import read_events
from engine.jobs.job import open_job
from engine.jobs.rollout import run
from engine.lease import Cancellation
from engine.traces.codec import decode_trace
from engine.traces.record import Trace
from tests.servers.openai_server import OpenAIServer

CASES = [
    ("no_call", "no_call"),
    ("two_calls", "many_calls"),
    ("unknown_tool", "unknown_tool"),
    ("bad_json", "bad_json"),
    ("bad_args", "bad_arguments"),
    ("unknown_action", "unknown_action"),
    ("no_actions", "no_actions"),
    ("many_actions", "too_many_actions"),
]


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


def play(directory: Path, server: OpenAIServer) -> tuple[dict[str, Any], Trace]:
    """An eval of one episode of three turns: (its result values, its trace)."""
    config = {"type": "eval", "model": "m", "seeds": [1], "max_turns": 3}
    policy = {"kind": "openai", "base_url": server.base_url, "model": "m"}
    text = json.dumps({"kind": "eval", "config": config, "inputs": {"policy": policy}})
    (directory / "config.json").write_text(text)
    values = run(open_job(directory, Cancellation()))
    rows = [event for event, _ in read_events(directory / "events.jsonl")]
    (payload,) = (row.data["payload"] for row in rows if row.type == "episode")
    return values, decode_trace((directory / payload["path"]).read_bytes())


@pytest.mark.parametrize(("word", "code"), CASES)
def test_r11_a_failed_call_is_recorded_told_and_counted(
    tmp_path: Path, server: OpenAIServer, word: str, code: str
):
    server.script("ok:noop", word, "ok:noop")
    values, trace = play(tmp_path, server)
    assert [turn.error_code for turn in trace.turns] == ["", code, ""]
    failed = trace.turns[1]
    assert (failed.actions, failed.n_steps) == ([], 0)
    assert len(trace.steps) == 2
    prompts = ["\n".join(m["content"] for m in body["messages"]) for body in server.requests]
    assert failed.error in prompts[2]
    assert failed.error not in prompts[1]
    assert (values["failed_calls"], values["endings"]) == (1, {"max_turns": 1})
    assert trace.summary.n_failed_calls == 1


def test_r11_a_model_that_never_calls_ends_at_its_turns(tmp_path: Path, server: OpenAIServer):
    server.default = "no_call"
    values, trace = play(tmp_path, server)
    assert (values["failed_calls"], values["steps"], len(trace.turns)) == (3, 0, 3)
    assert trace.summary.final_hash == trace.first_hash


@pytest.mark.parametrize("text", ["<action>noop</action>", "[action]noop[/action]", "ACTION: noop"])
def test_r11_actions_in_words_are_played(tmp_path: Path, server: OpenAIServer, text: str):
    server.default = f"text:{text}"
    values, trace = play(tmp_path, server)
    assert (values["failed_calls"], [step.action for step in trace.steps]) == (0, ["noop"] * 3)
