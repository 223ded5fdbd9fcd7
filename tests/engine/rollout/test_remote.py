"""What becomes of the answer of a remote task app: a trace, and whether it is true."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from engine.llm.replies import Prices
from engine.llm.types import Sampling
from engine.rollout.recording import EpisodeSpec, PlayerOptions
from engine.rollout.remote import (
    Allowance,
    RemotePlayer,
    RemoteTask,
    TaskAppClient,
    TaskAppOptions,
)
from engine.rollout.replay import replay
from engine.tasks import get_task
from engine.traces.codec import decode_trace, encode_trace
from engine.traces.record import Trace
from tests.servers.task_app_server import TaskAppServer

SAMPLES = Path(__file__).parents[3].parent / "shared" / "samples"
STEPWISE = {
    "enabled": True,
    "strategy": "per_achievement",
    "indicator_lambda": 2.0,
    "weights": {"collect_wood": 0.5},
}
OPTIONS = PlayerOptions(
    task_options={"difficulty": "easy", "observation": "map"},
    max_turns=12,
    sampling=Sampling(0.2, 0.9, 64, extra={"thinking_mode": "think"}),
    model="Qwen/Qwen3-4B",
    seconds=60,
)
ASKED = RemoteTask(
    "job_1", "http://models.example", policy_name="crafter-react", prices=Prices(1.0, 10.0),
    env_config={"step_rewards": STEPWISE}, policy_config={"step_rewards": STEPWISE},
)  # fmt: skip


def play(server: TaskAppServer, word: str = "ok", asked: RemoteTask = ASKED) -> Trace:
    """One episode on seed 5 through the server."""
    server.default = word

    async def one() -> Trace:
        task = get_task("crafter")
        client = TaskAppClient(server.url, options=TaskAppOptions(timeout_s=20))
        player = RemotePlayer(task, OPTIONS, client, asked, lambda: task.step_rewards(STEPWISE))
        game = task.new_game(5, OPTIONS.task_options)
        trace = await player.play(game, EpisodeSpec(5, 1))
        await player.close()
        return trace

    return asyncio.run(one())


@pytest.fixture
def server():
    with TaskAppServer() as running:
        yield running


@pytest.mark.parametrize("word", ["ok", "peer"])
def test_a_true_answer_becomes_a_trace_that_can_be_replayed(server: TaskAppServer, word: str):
    trace = play(server, word)
    assert trace.verified
    assert "came out as the task app told" in trace.verify_note
    assert trace.summary.n_achievements > 1
    assert trace.summary.world_version == "crafter-1.8.3+d1"
    assert trace.summary.ended == "max_turns"
    assert replay(decode_trace(encode_trace(trace)), get_task("crafter")).ok
    wood = 2.0 * 0.5
    rewards = [turn.step_reward for turn in trace.turns if turn.unlocked == ["collect_wood"]]
    assert rewards == [wood]


def test_a_false_answer_is_kept_as_told_and_never_paired(server: TaskAppServer):
    trace = play(server, "lies")
    assert trace.verified is False
    assert "collect_diamond" in trace.verify_note
    assert "collect_diamond" in trace.summary.achievements
    assert trace.summary.world_version == "remote"
    assert {step.view for step in trace.steps} == {b""}
    assert trace.summary.episode_return == 7  # as it told, one less than it claims
    decode_trace(encode_trace(trace))


def test_tokens_and_prompts_are_taken_where_they_are_told(server: TaskAppServer):
    trace = play(server, "peer")
    summary = trace.summary
    assert (summary.prompt_tokens, summary.completion_tokens) == (12 * 700, 12 * 20)
    assert summary.cost_usd == pytest.approx((12 * 700 * 1.0 + 12 * 20 * 10.0) / 1e6)
    assert trace.turns[0].messages[0]["role"] == "system"
    assert trace.turns[3].model_ms == 26


@pytest.mark.parametrize("limits", [{"tokens": 8000}, {"cost_usd": 0.01}])
def test_no_episode_begins_when_those_before_used_all_that_they_may(server, limits):
    server.default, allowance, task = "peer", Allowance(**limits), get_task("crafter")

    async def two() -> list[Trace]:
        player = RemotePlayer(task, OPTIONS, TaskAppClient(server.url), ASKED, allowance=allowance)
        game = task.new_game(5, OPTIONS.task_options)
        traces = [await player.play(game, EpisodeSpec(5, repeat)) for repeat in range(2)]
        await player.close()
        return traces

    first, second = (trace.summary for trace in asyncio.run(two()))
    assert first.ended == "max_turns"
    assert (second.ended, len(server.rollouts)) == ("task_error", 1)
    assert "Not begun" in second.error


@pytest.mark.parametrize(
    ("word", "ended", "words"),
    [
        ("policy_error", "model_error", "the model is down"),
        ("no_calls", "done", "no tool calls"),
    ],
)
def test_how_it_ended_is_read_from_the_rollout_status(server, word, ended, words):
    summary = play(server, word).summary
    assert summary.ended == ended
    assert words in summary.error + summary.ending


def test_the_request_holds_what_the_contract_names(server: TaskAppServer):
    play(server)
    body = server.rollouts[0]
    assert body["run_id"] == "job_1-5-1"
    assert body["env"] == {
        "env_name": "crafter",
        "seed": 5,
        "config": {
            "difficulty": "easy", "observation": "map", "step_rewards": STEPWISE,
            "env_params": {"max_steps_per_episode": 10_000},
        },
    }  # fmt: skip
    config = body["policy"]["config"]
    assert config["inference_url"] == "http://models.example"
    assert (config["model"], config["max_llm_calls"], config["temperature"]) == (
        "Qwen/Qwen3-4B", 12, 0.2,
    )  # fmt: skip
    assert config["thinking_mode"] == "think"
    assert "api_key" not in config
    assert body["ops"] == ["agent", "env"] * 12
    assert body["safety"] == {"max_ops": 24, "max_time_s": 60}


def test_the_recorded_answer_of_the_original_is_read(server: TaskAppServer):
    if not SAMPLES.is_dir():
        pytest.skip(f"{SAMPLES} is not there: the recordings are not part of this repository")
    from engine.rollout.remote.answers import read_rollout

    calls: list[Any] = json.loads((SAMPLES / "task_app_calls.json").read_text())
    answers = {call["name"]: call["response"] for call in calls}
    recorded = answers["rollout"]
    steps = recorded["trajectories"][0]["steps"]
    recorded["trajectories"][0]["steps"] = [step for step in steps if isinstance(step, dict)]
    told = read_rollout(recorded)
    assert told.turns[0].prompt_tokens == 728
    assert told.mean_return == 2.0
    assert told.achievements is not None
    down = read_rollout(answers["rollout, inference server down"])
    assert (down.status, down.turns) == ("partial_policy_error", [])
