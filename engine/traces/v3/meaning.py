"""Reads one of our traces from the rows of tracing v3: the way back from `building.py`.

Lives here: turns, calls, rewards, achievements, times and the ending, as the rows say them. Not
here: the pictures and state hashes that v3 does not hold (`engine/rollout/resimulate.py` plays the
actions again), files (`reader.py`).

A turn is one model call (a `cais` event); the environment's answer is the `environment` event of
the same timestep, or the next one where no timestep links them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from engine.traces.record import ENDINGS, EpisodeSummary, Step, Trace, Turn
from engine.traces.v3.building import OURS
from engine.traces.v3.calls import conversations
from engine.traces.v3.choosing import ALL, UNIQUE, named
from engine.traces.v3.session import Row, Session, load_object, loads

WORLD = "tracing-v3"  # the world version of a game that our own world does not play the same
NO_SEED = -1


class _Pair(NamedTuple):
    """A model call and what the environment answered."""

    call: Row
    answer: Row | None


def read_trace(session: Session, *, repeat: int = 0) -> Trace:
    """The episode of a session: no views, no hashes, world version `tracing-v3`."""
    about = load_object(session.row.get("metadata"))
    ours = _object(about.get(OURS))
    began = _epoch(session.row["created_at"])
    rewards = _rewards_by_event(session)
    turns: list[Turn] = []
    steps: list[Step] = []
    seen: set[str] = set()
    for pair in _pairs(session):
        turn = _turn(pair, len(turns), len(steps), began, rewards, seen)
        steps += _steps(turn, pair.answer)
        turn.n_steps = len(steps) - turn.first_step
        turns.append(turn)
    summary = _summary(session, about, ours, turns, steps)
    summary.repeat = repeat
    options = _object(ours.get("options")) or _options(about)
    return Trace(
        summary=summary,
        options=options,
        tools=_tools(session),
        first_view=b"",
        first_hash=_text(ours.get("first_hash"), 16),
        turns=turns,
        steps=steps,
        origin=session.to_json(),
    )


def seed_of(session: Session) -> int:
    """The seed that the session or its outcome names; NO_SEED without one."""
    texts = [session.row.get("metadata")]
    texts += [row.get("reward_metadata") for row in session.rows("outcome_rewards")]
    for said in map(load_object, texts):
        for word in ("seed", "env_seed"):
            value = said.get(word)
            if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
                return value
    return NO_SEED


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
    ours = _ours(call)
    messages, content, raw_calls = _said(call)
    error = _text(ours.get("error_code"), 40)
    actions = ours.get("actions")
    if not isinstance(actions, list):
        actions = _actions(raw_calls)
        error = "" if actions else ("no_actions" if raw_calls else "no_call")
    found = _unlocked(rewards.get(answer["id"], []) if answer else [], seen)
    seen.update(found)
    ended_ms = (_number(call.get("event_time")) - began) * 1000 if call.get("event_time") else 0.0
    model_ms = _number(call.get("latency_ms"))
    queue_ms = _number(ours.get("queue_ms"))
    return Turn(
        index=index,
        messages=messages,
        content=content,
        raw_calls=raw_calls,
        actions=[str(action) for action in actions],
        error_code=error,
        error=_text(ours.get("error"), 4000),
        unlocked=found,
        reward=_reward(answer, rewards),
        step_reward=_number(ours.get("step_reward")),
        first_step=first_step,
        started_ms=round(max(0.0, ended_ms - model_ms - queue_ms), 3),
        queue_ms=queue_ms,
        model_ms=model_ms,
        env_ms=_number(_ours(answer).get("env_ms")) if answer else 0.0,
        prompt_tokens=_count(call.get("input_tokens")),
        completion_tokens=_count(call.get("output_tokens")),
        cost_usd=_number(call.get("cost_usd")) / 100,
        n_retries=_count(ours.get("n_retries")),
    )


def _steps(turn: Turn, answer: Row | None) -> list[Step]:
    """The steps that a turn's actions made; without an answer nothing was played."""
    if answer is None:
        return []
    ours = _ours(answer)
    columns = [_list(ours.get(name)) for name in ("actions", "rewards", "hashes", "unlocked")]
    if columns[0] and len({len(column) for column in columns}) == 1:
        return [
            Step(turn.index, str(action), _number(reward), b"", _text(state, 16), tuple(names))
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


def _summary(
    session: Session,
    about: Mapping[str, Any],
    ours: Mapping[str, Any],
    turns: list[Turn],
    steps: list[Step],
) -> EpisodeSummary:
    calls = [row for row in session.rows("events") if row["event_type"] == "cais"]
    model, provider = _most_used(calls)
    outcome = session.rows("outcome_rewards")[-1] if session.rows("outcome_rewards") else {}
    final = named(load_object(outcome.get("reward_metadata")), "achievements", "final_achievements")
    names = list(dict.fromkeys([name for turn in turns for name in turn.unlocked] + final))
    times = [row["event_time"] for row in session.rows("events") if row.get("event_time")]
    began = _epoch(session.row["created_at"])
    ended, ending = _ending(session, ours)
    return EpisodeSummary(
        task=_text(about.get("env_name"), 60) or "unknown",
        world_version=WORLD,
        seed=seed_of(session),
        repeat=0,
        policy_version=0,
        policy=_text(about.get("policy_name"), 60) or "imported",
        model=_text(ours.get("model", model), 300),
        provider=_text(provider, 60),
        temperature=_temperature(calls),
        episode_return=sum(turn.reward for turn in turns),
        outcome_reward=_number(outcome.get("total_reward", len(names))),
        n_achievements=len(names),
        achievements=names,
        n_steps=len(steps),
        n_turns=len(turns),
        n_failed_calls=sum(bool(turn.error_code) for turn in turns),
        ended=ended,
        ending=ending,
        error=_text(ours.get("error"), 4000),
        prompt_tokens=sum(turn.prompt_tokens for turn in turns),
        completion_tokens=sum(turn.completion_tokens for turn in turns),
        cost_usd=sum(turn.cost_usd for turn in turns),
        started_at=began,
        duration_s=_number(ours.get("duration_s")) or round(max([0.0, *times]) - began, 3)
        if times
        else 0.0,
        final_hash=steps[-1].state_hash if steps else "",
        turns=[{name: getattr(turn, name) for name in _TURN_ROW} for turn in turns],
        unlocks=_unlocks(turns),
    )


_TURN_ROW = (
    "index", "actions", "error_code", "unlocked", "reward", "n_steps", "prompt_tokens",
    "completion_tokens", "queue_ms", "model_ms", "env_ms",
)  # fmt: skip


def _unlocks(turns: list[Turn]) -> list[dict[str, Any]]:
    """At the last step of the turn that unlocked it: v3 does not say which step it was."""
    return [
        {"name": name, "step": max(0, turn.first_step + turn.n_steps - 1), "turn": turn.index}
        for turn in turns
        for name in turn.unlocked
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
        return _number(answer["reward"])
    rows = rewards.get(answer["id"], [])
    return sum(_number(row["reward_value"]) for row in rows if row.get("reward_type") == "sparse")


def _ending(session: Session, ours: Mapping[str, Any]) -> tuple[str, str]:
    if ours.get("ended") in ENDINGS:
        return str(ours["ended"]), _text(ours.get("ending"), 200)
    answers = [row for row in session.rows("events") if row["event_type"] == "environment"]
    if answers and answers[-1].get("terminated"):
        return "done", ""
    return "max_turns", ""


def _most_used(calls: list[Row]) -> tuple[str, str]:
    counts = Counter(
        (row["model_name"], row.get("provider") or "") for row in calls if row.get("model_name")
    )
    return min(counts, key=lambda pair: (-counts[pair], pair)) if counts else ("", "")


def _temperature(calls: list[Row]) -> float:
    for row in calls:
        records = loads(row.get("call_records"))
        if isinstance(records, list) and records and isinstance(records[0], dict):
            said = records[0].get("request_params")
            if isinstance(said, dict) and said.get("temperature") is not None:
                return _number(said["temperature"])
    return 1.0


def _tools(session: Session) -> list[dict[str, Any]]:
    """The tool definitions of the first call that says them."""
    for row in session.rows("events"):
        records = loads(row.get("call_records")) if row["event_type"] == "cais" else None
        if isinstance(records, list) and records and isinstance(records[0], dict):
            params = records[0].get("request_params")
            raw = params.get("raw_params") if isinstance(params, dict) else None
            tools = raw.get("tools") if isinstance(raw, dict) else None
            if isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools):
                return tools
    return []


def _options(about: Mapping[str, Any]) -> dict[str, Any]:
    config = about.get("env_config")
    difficulty = config.get("difficulty") if isinstance(config, dict) else None
    return {"difficulty": difficulty} if isinstance(difficulty, str) else {}


def _ours(row: Row) -> dict[str, Any]:
    return _object(load_object(row.get("event_metadata")).get(OURS))


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _epoch(text: Any) -> float:
    """Epoch seconds of an ISO time; without a zone it is UTC; 0 for what is no time."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _text(value: Any, most: int) -> str:
    return value[:most] if isinstance(value, str) else ""


def _number(value: Any) -> float:
    """A finite number; 0 for anything else."""
    if not isinstance(value, int | float) or abs(value) > 1e300 or value != value:
        return 0.0
    return float(value)


def _count(value: Any) -> int:
    return max(0, value) if isinstance(value, int) and value < 2**62 else 0
