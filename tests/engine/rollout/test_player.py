"""One episode: what ends it, what is recorded of it, and that the model hears of its mistakes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from engine.errors import ProviderError, TaskError
from engine.llm.types import ChatRequest, Reply, ToolCall, Usage
from engine.rollout.player import play_episode
from engine.rollout.policies import ScriptedPolicy
from engine.rollout.recording import EpisodeSpec, PlayerOptions
from engine.tasks import get_task
from engine.traces.codec import decode_trace, encode_trace
from engine.traces.record import Trace

TASK = get_task("crafter")


class Says:
    """A policy that answers turn n with `answers[n]`; the last one for ever."""

    name = "says"

    def __init__(self, *answers: Any) -> None:
        self.answers = answers
        self.requests: list[ChatRequest] = []

    async def reply(self, request: ChatRequest) -> Reply:
        answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
        self.requests.append(request)
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            await answer()
        text = answer if isinstance(answer, str) else ""
        calls = answer if isinstance(answer, tuple) else ()
        return Reply(text, calls, "stop", "m", Usage(10, 5, 0.25))

    async def close(self) -> None: ...


def call(*actions: str | int, name: str = "interact_many") -> tuple[ToolCall, ...]:
    return (ToolCall("c", name, json.dumps({"actions": list(actions)})),)


def play(policy: Says, **options: Any) -> Trace:
    game = TASK.new_game(7, {})
    player = PlayerOptions(task_options={}, **options)
    return asyncio.run(play_episode(TASK, game, EpisodeSpec(7, 2), policy, player))


def test_turns_and_steps_are_recorded_whole():
    trace = play(Says(call("move_left", "do"), "ACTION: noop"), max_turns=2)
    assert trace.key[2:] == (7, 2, 0)
    assert [turn.actions for turn in trace.turns] == [["move_left", "do"], ["noop"]]
    assert [(s.turn, s.action) for s in trace.steps] == [(0, "move_left"), (0, "do"), (1, "noop")]
    assert [(t.first_step, t.n_steps) for t in trace.turns] == [(0, 2), (2, 1)]
    assert all(len(step.state_hash) == 16 and step.view for step in trace.steps)
    summary = trace.summary
    assert (summary.ended, summary.n_turns, summary.n_steps) == ("max_turns", 2, 3)
    assert (summary.prompt_tokens, summary.completion_tokens, summary.cost_usd) == (20, 10, 0.5)
    assert summary.final_hash == trace.steps[-1].state_hash
    assert summary.turns[0]["actions"] == ["move_left", "do"]
    assert decode_trace(encode_trace(trace)) == trace


def test_the_return_and_unlocks_are_those_of_the_steps():
    trace = play(Says(call(*["sleep"] * 8)), max_turns=6)
    names = [row["name"] for row in trace.summary.unlocks]
    assert names == trace.summary.achievements
    assert trace.summary.episode_return == pytest.approx(sum(s.reward for s in trace.steps))
    assert trace.summary.outcome_reward == len(names)


@pytest.mark.parametrize(
    ("options", "ended", "n_turns", "n_steps"),
    [
        ({"max_turns": 3}, "max_turns", 3, 12),
        ({"max_turns": 9, "max_steps": 6}, "max_steps", 2, 6),
        ({"max_turns": 9, "tokens": 40}, "limit", 3, 12),
        ({"max_turns": 9, "cost_usd": 0.5}, "limit", 2, 8),
    ],
)
def test_limits_end_an_episode(options: dict[str, Any], ended: str, n_turns: int, n_steps: int):
    summary = play(Says(call(*["noop"] * 4)), **options).summary
    assert (summary.ended, summary.n_turns, summary.n_steps) == (ended, n_turns, n_steps)


def test_time_ends_an_episode_while_the_model_thinks():
    policy = Says(call("noop"), lambda: asyncio.sleep(30))
    summary = play(policy, seconds=0.3).summary
    assert (summary.ended, summary.n_turns) == ("limit", 1)
    assert summary.duration_s < 5


def test_death_ends_an_episode():
    summary = play(Says(call(*["noop"] * 8)), max_turns=1000).summary
    assert summary.ended == "died"
    assert summary.ending.startswith("died: ")


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (ProviderError("gone", code="timeout"), "model_error"),
        (TaskError("broke"), "task_error"),
    ],
)
def test_a_broken_episode_keeps_what_it_had(error: Exception, ended: str):
    summary = play(Says(call("do"), error)).summary
    assert (summary.ended, summary.n_turns, summary.n_steps) == (ended, 1, 1)
    assert str(error) in summary.error


def test_cancelling_keeps_what_it_had():
    async def run() -> Trace:
        stuck = asyncio.Event()

        async def wait() -> None:
            stuck.set()
            await asyncio.sleep(30)

        game = TASK.new_game(7, {})
        episode = play_episode(TASK, game, EpisodeSpec(7), Says(call("do"), wait), PlayerOptions())
        task = asyncio.create_task(episode)
        await stuck.wait()
        task.cancel()
        return await task

    summary = asyncio.run(run()).summary
    assert (summary.ended, summary.n_turns) == ("cancelled", 1)


def test_the_prompt_of_the_next_turn_tells_what_went_wrong():
    policy = Says(call("teleport"), call("do"))
    play(policy, max_turns=2)
    told = json.dumps(policy.requests[1].messages)
    assert "teleport" in told
    assert "teleport" not in json.dumps(policy.requests[0].messages)


def test_without_tools_the_request_has_none():
    policy = Says("ACTION: do")
    trace = play(policy, max_turns=1, use_tools=False)
    assert policy.requests[0].tools == []
    assert trace.turns[0].actions == ["do"]


def test_decisions_are_rewarded_as_the_config_says():
    rewards = TASK.step_rewards({"enabled": True, "indicator_lambda": 3.0})
    guide = ScriptedPolicy("guide", TASK.scripted["guide"])
    options = PlayerOptions(max_turns=15)
    game = TASK.new_game(7, {})
    trace = asyncio.run(play_episode(TASK, game, EpisodeSpec(7), guide, options, rewards=rewards))
    worth = [3.0 if turn.unlocked else 0.0 for turn in trace.turns]
    assert [turn.step_reward for turn in trace.turns] == worth
    assert 3.0 in worth


def test_a_failed_call_is_a_decision_too():
    rewards = TASK.step_rewards({"enabled": True})
    game, options = TASK.new_game(7, {}), PlayerOptions(max_turns=2)
    policy = Says(call("teleport"))
    asyncio.run(play_episode(TASK, game, EpisodeSpec(7), policy, options, rewards=rewards))
    assert [sample["r_i"] for sample in rewards.samples] == [0.0, 0.0]
