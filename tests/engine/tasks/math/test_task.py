"""Math episodes through the player: statuses, rewards, tries, traces that verify."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from engine.errors import TaskError
from engine.llm.types import Reply, ToolCall
from engine.rollout.player import play_episode
from engine.rollout.policies import ScriptedPolicy
from engine.rollout.recording import EpisodeSpec, PlayerOptions
from engine.rollout.replay import replay
from engine.tasks import get_task
from engine.tasks.math.views import unpack_view
from engine.traces.codec import decode_trace, encode_trace
from engine.traces.record import Trace

TASK = get_task("math-single-step")
SUM = {"family": "chain_sum", "difficulty": "easy", "split": "test"}
RIGHT = TASK.new_game(7, SUM).problem.answer  # type: ignore[attr-defined]


class Says:
    """Answers turn n with `answers[n]`: the tool and its arguments, or text."""

    def __init__(self, *answers: tuple[str, Any] | str) -> None:
        self.answers = list(answers)
        self.prompts: list[str] = []

    async def reply(self, request: Any) -> Reply:
        self.prompts.append(request.messages[-1]["content"])
        answer = self.answers.pop(0)
        if isinstance(answer, str):
            return Reply(answer, (), "stop", "m")
        name, arguments = answer
        return Reply("", (ToolCall("c", name, json.dumps(arguments)),), "tool_calls", "m")

    async def close(self) -> None: ...


def submit(answer: Any) -> tuple[str, Any]:
    return "math_submit", {"answer": answer}


def play(policy: Any, seed: int = 7, attempts: int = 1, **rewards: float) -> Trace:
    options = {**SUM, "attempts": attempts, **rewards}
    game = TASK.new_game(seed, options)
    player = PlayerOptions(task_options=options, max_turns=attempts)
    return asyncio.run(play_episode(TASK, game, EpisodeSpec(seed), policy, player))


@pytest.mark.parametrize(
    ("answer", "status", "reward"),
    [
        (submit(RIGHT), "correct", 1.0),
        (submit(float(RIGHT)), "correct", 1.0),
        (submit("12345"), "incorrect", 0.0),
        (submit("  "), "blank_answer", -0.5),
        (("math_submit", {}), "blank_answer", -0.5),
        (f"I think it is {RIGHT}.", "missing_tool_call", -1.0),
        (("calculator", {"answer": RIGHT}), "wrong_tool", -1.0),
        (submit("!missing_tool_call"), "incorrect", 0.0),
    ],
)
def test_each_kind_of_answer_has_its_status_and_reward(
    answer: Any, status: str, reward: float
) -> None:
    trace = play(Says(answer))
    summary = trace.summary
    assert (summary.ended, summary.ending, summary.episode_return) == ("done", status, reward)
    assert summary.outcome_reward == (status == "correct")
    assert replay(decode_trace(encode_trace(trace)), TASK).ok


def test_the_rewards_are_those_of_the_options() -> None:
    rewards = {
        "reward_positive": 2.0,
        "reward_negative_no_answer": -3.0,
        "reward_negative_no_tool": -4.0,
    }
    answers = [submit(RIGHT), submit(""), "no call"]
    returns = [play(Says(answer), **rewards).summary.episode_return for answer in answers]
    assert returns == [2.0, -3.0, -4.0]


def test_a_wrong_answer_is_told_and_may_be_tried_again() -> None:
    policy = Says(submit("999"), "hm", submit(RIGHT))
    trace = play(policy, attempts=3)
    assert [step.reward for step in trace.steps] == [0.0, -1.0, 1.0]
    assert (trace.summary.ending, trace.summary.outcome_reward) == ("correct", 1.0)
    assert "Wrong: 999\nAnswers left: 2." in policy.prompts[1]
    assert "No answer: Your answer has no tool call." in policy.prompts[2]
    assert replay(trace, TASK).ok


def test_the_solution_is_in_no_prompt_and_in_no_view_before_the_end() -> None:
    policy = Says(submit("999"), submit("998"))
    trace = play(policy, attempts=2)
    views = [trace.first_view, *(step.view for step in trace.steps)]
    assert ["expected" in unpack_view(view) for view in views] == [False, False, True]
    prompts = [prompt.replace(TASK.new_game(7, SUM).text(), "") for prompt in policy.prompts]
    assert not any(RIGHT in prompt for prompt in prompts)
    assert "answer" not in TASK.new_game(7, SUM).details()


@pytest.mark.parametrize(("name", "most", "least"), [("guide", 1.0, 1.0), ("random", 0.1, 0.0)])
def test_the_guide_solves_and_random_does_not(name: str, most: float, least: float) -> None:
    policy = ScriptedPolicy(name, TASK.scripted[name])
    solved = [play(policy, seed).summary.outcome_reward for seed in range(40)]
    assert least <= sum(solved) / len(solved) <= most


def test_worlds_of_other_options_are_other_worlds() -> None:
    version = TASK.new_game(7, SUM).world_version
    others = [{"split": "train"}, {"difficulty": "hard"}, {"family": "gcd"}]
    found = {TASK.new_game(7, {**SUM, **other}).world_version for other in others}
    assert len(found) == 3
    assert version not in found
    assert TASK.new_game(7, {**SUM, "split": "validation"}).world_version == version
    assert len(version) <= 60


def test_a_snapshot_goes_on_where_it_was_taken() -> None:
    game = TASK.new_game(7, {**SUM, "attempts": 2})
    game.step("1000")
    again = TASK.restore(game.snapshot())
    assert again.state_hash() == game.state_hash()
    assert again.step(RIGHT).done
    with pytest.raises(TaskError, match="the episode is over: correct"):
        again.step(RIGHT)
    with pytest.raises(TaskError, match="no math episode"):
        TASK.restore(b"nothing")
