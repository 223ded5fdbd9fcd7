"""Reads the answer of a `/rollout`: strictly where it matters, tolerantly where apps differ.

Lives here: JSON -> `Told`. Not here: whether it is true (`player.py`).
Needed are the trajectory, its steps and their tool calls. Everything else may be missing: rewards
(the original sends null), tokens and times (from `info.meta`, else from the trace's `lm_calls`),
prompts (`info.meta.inference_request`, else only what was seen). What is there in another shape
than the contract's is an error with words: the task app has changed, its figures mean nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.errors import TaskError


@dataclass(slots=True)
class ToldTurn:
    """One model call as the task app tells it. `reward` is None where it tells none."""

    text: str
    calls: list[dict[str, str]]  # {"id", "name", "arguments"}: as in Turn.raw_calls
    achievements: list[str]
    reward: float | None = None
    step_reward: float | None = None
    done: bool = False
    truncated: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list)
    content: str = ""
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    model_ms: float = 0.0
    env_ms: float = 0.0


@dataclass(slots=True)
class Told:
    """An episode as the task app tells it. `status` is "" where all went well."""

    turns: list[ToldTurn]
    text: str  # what was seen at the end
    achievements: list[str] | None  # of the whole episode, where it says them
    status: str
    error: str
    aborted: bool
    mean_return: float | None
    outcome: float | None


def read_rollout(answer: Any) -> Told:
    """The one episode of an answer. Raises TaskError (task_app_answer) naming what is odd."""
    answer = _object(answer, "the answer")
    trajectories = _list(answer.get("trajectories"), "trajectories")
    if not trajectories:
        raise _odd("trajectories is empty")
    trajectory = _object(trajectories[0], "trajectories[0]")
    steps = _list(trajectory.get("steps"), "trajectories[0].steps")
    turns = [_turn(step, f"steps[{index}]") for index, step in enumerate(steps)]
    _add_calls(turns, answer.get("trace"))
    final = trajectory.get("final")
    final = final if isinstance(final, dict) else {}
    seen = final.get("observation")
    seen = seen if isinstance(seen, dict) else {}
    metrics = answer.get("metrics")
    metrics = metrics if isinstance(metrics, dict) else {}
    return Told(
        turns,
        _text(seen.get("text")),
        _achieved(seen.get("achievements_status"), answer.get("trace")),
        _text(final.get("rollout_status")),
        _text(final.get("error"))[:1000],
        answer.get("aborted") is True,
        _maybe_number(metrics.get("mean_return"), "metrics.mean_return"),
        _outcome(metrics),
    )


def _turn(step: Any, where: str) -> ToldTurn:
    step = _object(step, where)
    if "tool_calls" not in step:
        keys = ", ".join(map(str, step))[:100]
        raise _odd(f"{where} has no tool_calls (its keys: {keys})")
    info = step.get("info")
    info = info if isinstance(info, dict) else {}
    seen = step.get("obs")
    stepwise = info.get("stepwise")
    turn = ToldTurn(
        text=_text(seen.get("text")) if isinstance(seen, dict) else "",
        calls=[
            _call(call, index, f"{where}.tool_calls[{index}]")
            for index, call in enumerate(_list(step["tool_calls"] or [], f"{where}.tool_calls"))
        ],
        achievements=[_text(n) for n in _list(info.get("achievements_added") or [], where)],
        reward=_maybe_number(step.get("reward"), f"{where}.reward"),
        step_reward=_soft_number(stepwise.get("reward")) if isinstance(stepwise, dict) else None,
        done=step.get("done") is True,
        truncated=step.get("truncated") is True,
    )
    if isinstance(info.get("meta"), dict):
        _add_meta(turn, info["meta"])
    return turn


def _call(call: Any, index: int, where: str) -> dict[str, str]:
    call = _object(call, where)
    name = call.get("tool_name") or call.get("tool") or call.get("name")
    if not isinstance(name, str):
        raise _odd(f"{where} names no tool (its keys: {', '.join(map(str, call))[:100]})")
    arguments = call.get("arguments", call.get("args", {}))
    raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": _text(call.get("id")) or f"call_{index}", "name": name, "arguments": raw}


def _add_meta(turn: ToldTurn, meta: Mapping[str, Any]) -> None:
    """What the original tells of the model call; taken as far as it is there."""
    request, usage, timing, raw = (
        part if isinstance(part := meta.get(name), dict) else {}
        for name in ("inference_request", "usage", "timing", "raw_response")
    )
    messages = request.get("messages")
    if isinstance(messages, list):
        turn.messages = [message for message in messages if isinstance(message, dict)]
    turn.prompt_tokens = _count(usage.get("prompt_tokens"))
    turn.completion_tokens = _count(usage.get("completion_tokens"))
    turn.model_ms = _soft_number(timing.get("inference_ms", meta.get("inference_ms"))) or 0.0
    turn.env_ms = _soft_number(timing.get("env_step_ms")) or 0.0
    choices = raw.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    if isinstance(choice, dict):
        turn.finish_reason = _text(choice.get("finish_reason"))
        message = choice.get("message")
        turn.content = _text(message.get("content")) if isinstance(message, dict) else ""


def _add_calls(turns: list[ToldTurn], trace: Any) -> None:
    """Tokens and times from the compact trace, for turns whose steps tell none."""
    rows = trace.get("lm_calls") if isinstance(trace, dict) else None
    for row in rows if isinstance(rows, list) else ():
        index = row.get("turn") if isinstance(row, dict) else None
        if not isinstance(index, int) or not 0 <= index < len(turns):
            continue
        turn = turns[index]
        if not turn.prompt_tokens and not turn.completion_tokens:
            turn.prompt_tokens = _count(row.get("input_tokens", row.get("prompt_tokens")))
            turn.completion_tokens = _count(row.get("output_tokens", row.get("completion_tokens")))
        turn.model_ms = turn.model_ms or _soft_number(row.get("latency_ms")) or 0.0


def _achieved(status: Any, trace: Any) -> list[str] | None:
    """What the episode unlocked: as the last observation says, else as the trace does."""
    if isinstance(status, dict):
        return [str(name) for name, got in status.items() if got]
    metadata = trace.get("metadata") if isinstance(trace, dict) else None
    names = metadata.get("final_achievements") if isinstance(metadata, dict) else None
    return [_text(name) for name in names] if isinstance(names, list) else None


def _outcome(metrics: Mapping[str, Any]) -> float | None:
    """What the episode was worth, where it says so; Math tells whether the answer was correct."""
    details = metrics.get("details")
    correct = details.get("correct") if isinstance(details, dict) else None
    if isinstance(correct, bool):
        return float(correct)
    return _maybe_number(metrics.get("outcome_score"), "metrics.outcome_score")


def _maybe_number(value: Any, where: str) -> float | None:
    if value is None:
        return None
    number = _soft_number(value)
    if number is None:
        raise _odd(f"{where} is {str(value)[:40]!r}, expected a number")
    return number


def _soft_number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 1e12 else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _odd(f"{where} is {_kind(value)}, expected an object")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _odd(f"{where} is {_kind(value)}, expected a list")
    return value


def _kind(value: Any) -> str:
    return "missing" if value is None else f"a {type(value).__name__}"


def _odd(what: str) -> TaskError:
    return TaskError(
        f"The task app's answer is no rollout: {what}.",
        code="task_app_answer",
        retryable=False,
        hint="The task app may have another version than this contract; check it under Configs.",
    )
