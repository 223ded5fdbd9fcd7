"""The turns of a tracing v3 session: model calls, what the environment answered, its steps.

Lives here: one turn and its steps. Not here: the whole episode (`meaning.py`), cells (`cells.py`).

A turn is one model call (a `cais` event); the environment's answer is the `environment` event of
the same timestep, or the next one where no timestep links them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from engine.traces.record import Step, Turn
from engine.traces.v3.calls import conversations
from engine.traces.v3.cells import count_of, list_of, number_of, ours_of, text_of
from engine.traces.v3.choosing import ALL, UNIQUE, named
from engine.traces.v3.session import Row, Session, load_object, loads


class _Pair(NamedTuple):
    """A model call and what the environment answered."""

    call: Row
    answer: Row | None


def read_turns(session: Session, began: float) -> tuple[list[Turn], list[Step]]:
    """Turns and steps in order; `began`: epoch seconds at which the episode began."""
    rewards = _rewards_by_event(session)
    turns: list[Turn] = []
    steps: list[Step] = []
    seen: set[str] = set()
    for pair in _pairs(session):
        turn = _turn(pair, len(turns), len(steps), began, rewards, seen)
        steps += _steps(turn, pair.answer)
        turn.n_steps = len(steps) - turn.first_step
        turns.append(turn)
    return turns, steps


def _pairs(session: Session) -> Iterator[_Pair]:
    events = session.rows("events")
    answers = [row for row in events if row["event_type"] == "environment"]
    by_step = {row["timestep_id"]: row for row in answers if row.get("timestep_id") is not None}
    calls = [row for row in events if row["event_type"] == "cais"]
    for index, call in enumerate(calls):
        if call.get("timestep_id") is not None:
            yield _Pair(call, by_step.pop(call["timestep_id"], None))
            continue
        end = calls[index + 1]["id"] if index + 1 < len(calls) else float("inf")
        between = [row for row in answers if call["id"] < row["id"] < end]
        yield _Pair(call, between[0] if between else None)


def _turn(
    pair: _Pair,
    index: int,
    first_step: int,
    began: float,
    rewards: Mapping[int, list[Row]],
    seen: set[str],
) -> Turn:
    call, answer = pair
    ours = ours_of(call)
    messages, content, raw_calls = _said(call)
    actions, error_code = _understood(ours, raw_calls)
    found = _unlocked(rewards.get(answer["id"], []) if answer else [], seen)
    seen.update(found)
    ended_ms = (number_of(call.get("event_time")) - began) * 1000 if call.get("event_time") else 0.0
    model_ms = number_of(call.get("latency_ms"))
    queue_ms = number_of(ours.get("queue_ms"))
    return Turn(
        index=index,
        messages=messages,
        content=content,
        raw_calls=raw_calls,
        actions=[str(action) for action in actions],
        error_code=error_code,
        error=text_of(ours.get("error"), 4000),
        unlocked=found,
        reward=_reward(answer, rewards),
        step_reward=number_of(ours.get("step_reward")),
        first_step=first_step,
        started_ms=round(max(0.0, ended_ms - model_ms - queue_ms), 3),
        queue_ms=queue_ms,
        model_ms=model_ms,
        env_ms=number_of(ours_of(answer).get("env_ms")) if answer else 0.0,
        prompt_tokens=count_of(call.get("input_tokens")),
        completion_tokens=count_of(call.get("output_tokens")),
        cost_usd=number_of(call.get("cost_usd")) / 100,
        n_retries=count_of(ours.get("n_retries")),
    )


def _steps(turn: Turn, answer: Row | None) -> list[Step]:
    """The steps that a turn's actions made; without an answer nothing was played."""
    if answer is None:
        return []
    ours = ours_of(answer)
    columns = [list_of(ours.get(name)) for name in ("actions", "rewards", "hashes", "unlocked")]
    if columns[0] and len({len(column) for column in columns}) == 1:
        return [
            Step(turn.index, str(action), number_of(reward), b"", text_of(state, 16), tuple(names))
            for action, reward, state, names in zip(*columns, strict=True)
        ]
    last = len(turn.actions) - 1
    return [
        Step(
            turn.index,
            action,
            turn.reward if index == last else 0.0,
            b"",
            "",
            tuple(turn.unlocked) if index == last else (),
        )
        for index, action in enumerate(turn.actions)
    ]


def _said(call: Row) -> tuple[list[dict[str, Any]], str, list[dict[str, str]]]:
    """Prompt, text and tool calls of the first record that says something."""
    said = conversations(call.get("call_records"))
    if not said:
        return [], "", []
    *messages, answer = json.loads(said[0].messages)
    calls = [{"id": item["id"], **item["function"]} for item in answer.get("tool_calls", ())]
    content = answer["content"]
    return messages, content if isinstance(content, str) else json.dumps(content), calls


def _understood(ours: Mapping[str, Any], calls: list[dict[str, str]]) -> tuple[list[Any], str]:
    """The actions of a turn and why there are none: as we noted it, else from its calls."""
    if isinstance(ours.get("actions"), list):
        return ours["actions"], text_of(ours.get("error_code"), 40)
    actions = _actions(calls)
    return actions, "" if actions else ("no_actions" if calls else "no_call")


def _actions(calls: list[dict[str, str]]) -> list[Any]:
    """What the calls ask for: a list `actions`, one `action`, or the arguments as they are."""
    found: list[Any] = []
    for call in calls:
        arguments = loads(call["arguments"])
        if not isinstance(arguments, dict):
            continue
        actions = arguments.get("actions", arguments.get("action"))
        found += actions if isinstance(actions, list) else [] if actions is None else [actions]
    return found


def _rewards_by_event(session: Session) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in session.rows("event_rewards"):
        found.setdefault(row["event_id"], []).append(row)
    return found


def _unlocked(rewards: list[Row], seen: set[str]) -> list[str]:
    """What is new in the episode, from the annotations of a turn's rewards."""
    names: list[str] = []
    for kind, word in ((UNIQUE, "new_unique"), (ALL, "turned_true")):
        for row in rewards:
            if row.get("reward_type") == kind and row["reward_value"] > 0:
                names += named(load_object(row.get("annotation")), word, "achievements")
    return [name for name in dict.fromkeys(names) if name not in seen]


def _reward(answer: Row | None, rewards: Mapping[int, list[Row]]) -> float:
    if answer is None:
        return 0.0
    if answer.get("reward") is not None:
        return number_of(answer["reward"])
    rows = rewards.get(answer["id"], [])
    return sum(number_of(row["reward_value"]) for row in rows if row.get("reward_type") == "sparse")
