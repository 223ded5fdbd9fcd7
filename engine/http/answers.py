"""What `/rollout` answers: the union of the fields that both versions of `synth-ai` read.

Lives here: a played rollout -> trajectories and metrics. Not here: its trace (`trace_answer.py`).
A step is one pair of model call and environment; rewards of steps sum up to the return:
achievements new in a call, or what a task without achievements pays.
"""

from __future__ import annotations

from typing import Any

from engine.http.played import Accounts, Played, usage_of
from engine.http.trace_answer import trace_answer
from engine.tasks.face import Score
from engine.traces.record import Turn
from engine.traces.v3.building import observation_text
from engine.traces.v3.session import Session, loads

_CUT = ("max_steps", "max_turns", "limit")


def rollout_answer(played: Played, session: Session) -> dict[str, Any]:
    """The whole answer."""
    body = played.body
    return {
        "run_id": body.run_id,
        "trajectories": [_trajectory(played)] if body.record.trajectories else [],
        "branches": {},
        "metrics": _metrics(played),
        "aborted": played.aborted,
        "ops_executed": 2 * len(played.turns),
        "trace": trace_answer(played, session) if body.record.return_trace else None,
    }


def _trajectory(played: Played) -> dict[str, Any]:
    summary = played.trace.summary
    score = Score(
        played.reward(played.turns[-1]) if played.turns else 0.0,
        played.total,
        played.served.max_steps(played.body.env.config),
        summary.ended in _CUT,
    )
    observation = played.served.face.observation(played.game, score)
    return {
        "env_id": played.env_id,
        "policy_id": played.policy_id,
        "inference_url": played.chosen.url,
        "steps": [_step(played, index) for index in range(len(played.turns))],
        "final": {"observation": observation, **_status(played)},
        "length": len(played.turns),
        "decision_samples": _samples(played),
    }


def _status(played: Played) -> dict[str, Any]:
    """rollout_status and error where the episode broke, or not one call could be used."""
    summary, turns = played.trace.summary, played.turns
    if summary.ended == "model_error":
        return {
            "rollout_status": "partial_policy_error", "error": summary.error, "at_op": "agent"
        }  # fmt: skip
    if summary.ended == "task_error":
        return {"rollout_status": "partial_invalid_action", "error": summary.error, "at_op": "env"}
    if turns and all(turn.error_code for turn in turns):
        no_call = turns[-1].error_code == "no_call"
        status = "partial_no_tool_calls" if no_call else "partial_invalid_action"
        return {"rollout_status": status, "error": turns[-1].error, "at_op": "env"}
    return {}


def _step(played: Played, index: int) -> dict[str, Any]:
    turn, summary = played.turns[index], played.trace.summary
    is_last = index == len(played.turns) - 1
    info: dict[str, Any] = {
        "achievements_added": list(turn.unlocked),
        "stepwise": _stepwise(played, turn, index),
        "meta": _meta(played, turn),
    }
    if turn.error_code:
        info["error"] = {"code": turn.error_code, "message": turn.error}
    return {
        "obs": {"text": observation_text(turn)},
        "tool_calls": _tool_calls(played, turn),
        "reward": played.reward(turn),
        "done": is_last and summary.ended in ("done", "died"),
        "truncated": is_last and summary.ended in _CUT,
        "logprob": sum(turn.logprobs) if turn.logprobs else None,
        "value": None,
        "info": info,
    }


def _tool_calls(played: Played, turn: Turn) -> list[dict[str, Any]]:
    """As the model made them; a call that was written as text as the call that it became."""
    calls = []
    for call in turn.raw_calls:
        arguments = loads(call["arguments"])
        known = arguments if isinstance(arguments, dict) else {}
        calls.append({"tool_name": call["name"], "arguments": known})
    if not calls and turn.actions:
        function = played.served.task.tools[0]["function"]
        name, schema = next(iter(function["parameters"]["properties"].items()))
        value = turn.actions if schema.get("type") == "array" else turn.actions[0]
        calls.append({"tool_name": function["name"], "arguments": {name: value}})
    return calls


def _stepwise(played: Played, turn: Turn, index: int) -> dict[str, Any] | None:
    if not isinstance(played.rewards, Accounts):
        return None
    sample = played.rewards.samples[index]
    return {
        "decision_index": index + 1,
        "indicator": sample["indicator"],
        "new_achievements": list(turn.unlocked),
        "reward": sample["r_i"],
        "strategy": sample["strategy"],
        "base_reward": sample["base"],
    }


def _samples(played: Played) -> list[dict[str, Any]] | None:
    return played.rewards.samples if isinstance(played.rewards, Accounts) else None


def _meta(played: Played, turn: Turn) -> dict[str, Any]:
    """What was asked and answered, and how long it took."""
    trace, summary = played.trace, played.trace.summary
    meta: dict[str, Any] = {
        "inference_url": played.chosen.url,
        "inference_request": {
            "messages": turn.messages,
            "model": summary.model,
            "temperature": summary.temperature,
            "tools": trace.tools if played.body.policy.config.use_tools else [],
        },
        "turn_index": turn.index + 1,
        "history_len": turn.index + 1,
        "inference_ms": turn.model_ms,
        "raw_response": _chat_completion(turn, summary.model),
        "usage": usage_of(turn),
        "timing": {
            "inference_ms": turn.model_ms,
            "inference_s": turn.model_ms / 1000,
            "queue_ms": turn.queue_ms,
            "env_step_ms": turn.env_ms,
            "decision_ms": turn.queue_ms + turn.model_ms + turn.env_ms,
        },
        "decision_rewards": {
            "turn": turn.index + 1,
            "ach_delta": len(turn.unlocked),
            "unique_delta": len(turn.unlocked),
            "all": list(turn.unlocked),
            "unique": list(turn.unlocked),
        },
    }
    if played.body.record.logprobs:
        meta["token_ids"] = {
            "prompt": turn.prompt_ids, "completion": turn.completion_ids, "logprobs": turn.logprobs
        }  # fmt: skip
    return meta


def _metrics(played: Played) -> dict[str, Any]:
    details = played.served.face.details(played.game)
    if isinstance(played.rewards, Accounts):
        details = {**details, "stepwise": played.rewards.details()}
    return {
        "episode_returns": [played.total],
        "mean_return": played.total,
        "num_steps": len(played.turns),
        "num_episodes": 1,
        "outcome_score": played.game.outcome(),
        "events_score": played.total,
        "details": details,
    }


def _chat_completion(turn: Turn, model: str) -> dict[str, Any]:
    """The model's answer in OpenAI's shape, made of what was read of it."""
    calls = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": call["arguments"]},
        }
        for call in turn.raw_calls
    ]
    message = {"role": "assistant", "content": turn.content, "tool_calls": calls}
    choice = {"index": 0, "message": message, "finish_reason": turn.finish_reason or None}
    return {
        "object": "chat.completion", "model": model, "choices": [choice], "usage": usage_of(turn)
    }  # fmt: skip
