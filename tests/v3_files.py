"""Small tracing v3 files as the original task app writes them, made after CONTRACT §4.

Lives here: the generator. The rows are written as they are, not through our own writer's meaning:
call records with their full request, rewards under one naming or both, an empty messages table.
Models, plans and unlocks follow from the session's number, so every clone tests the same.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from engine.traces.v3 import Session, TraceDb

Naming = Literal["app", "exporter", "both"]
NAMES = ("collect_sapling", "collect_wood", "place_table", "wake_up")
PLANS = (("do",), ("move_left", "do"), ("move_up", "move_up", "do"), ("sleep", "noop"))
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "interact_many",
            "parameters": {
                "type": "object",
                "properties": {"actions": {"type": "array", "items": {"type": "string"}}},
            },
        },
    }
]
_SYSTEM = (
    "You play Crafter 🌲. " + "Collect, craft, survive, and say what you do in one call. " * 40
)


def write_file(
    path: Path,
    n_sessions: int = 5,
    n_turns: int = 6,
    *,
    naming: Naming = "both",
    pad: int = 0,
    n_seeds: int = 0,
) -> Path:
    """A file of that many sessions; `pad` more characters stand in every observation.

    `n_seeds`: how many different worlds there are; 0: each session has one of its own.
    """
    with TraceDb(path) as db:
        for number in range(1, n_sessions + 1):
            seed = number % n_seeds if n_seeds else number
            db.write(make_session(number, n_turns, naming=naming, pad=pad, seed=seed))
    return path


def make_session(
    number: int,
    n_turns: int = 6,
    *,
    naming: Naming = "both",
    pad: int = 0,
    unlocks: Sequence[Sequence[str]] | None = None,
    seed: int | None = None,
) -> Session:
    """Session `game-NNNN`; unless `unlocks` says it by turn, `number` % 5 things are achieved."""
    rng = random.Random(number)
    seed = number if seed is None else seed
    name = f"game-{number:04d}"
    model = ("Qwen/Qwen3-4B", "qwen/qwen3-32b")[number % 3 == 0]
    if unlocks is None:
        unlocks = [[NAMES[i]] if i < number % 5 and i < len(NAMES) else [] for i in range(n_turns)]
    rows: dict[str, list[dict[str, Any]]] = {
        table: []
        for table in ("session_timesteps", "events", "messages", "outcome_rewards", "event_rewards")
    }
    for turn in range(n_turns):
        _add_turn(rows, name, model, turn, list(unlocks[turn]), naming, rng.choice(PLANS), pad)
    got = sorted({word for words in unlocks for word in words})
    rows["outcome_rewards"].append({
        "id": 1, "session_id": name, "total_reward": len(got), "achievements_count": len(got),
        "total_steps": n_turns, "created_at": _at(number, n_turns),
        "reward_metadata": _dump({"env_seed": seed, **_named(naming, "final_achievements",
                                                              "achievements", got)}),
    })  # fmt: skip
    about = {"run_id": name, "policy_name": "crafter-react", "env_name": "crafter", "seed": seed}
    row = {
        "session_id": name, "created_at": _at(number, 0), "num_timesteps": n_turns,
        "num_events": 2 * n_turns, "num_messages": 0, "metadata": _dump(about),
    }  # fmt: skip
    return Session(row, rows)


def _add_turn(
    rows: dict[str, list[dict[str, Any]]],
    name: str,
    model: str,
    turn: int,
    new: list[str],
    naming: Naming,
    plan: Sequence[str],
    pad: int,
) -> None:
    step = f"decision_{turn}"
    rows["session_timesteps"].append({
        "id": turn + 1, "session_id": name, "step_id": step, "step_index": turn,
        "turn_number": turn, "started_at": _at(1, turn), "num_events": 2, "num_messages": 0,
        "step_metadata": "{}",
    })  # fmt: skip
    base = {"session_id": name, "timestep_id": turn + 1}
    call = {
        **base, "id": 2 * turn + 1, "event_type": "cais", "event_time": 1_790_000_000.25 + turn,
        "system_instance_id": "policy:crafter-react", "model_name": model, "provider": "custom",
        "input_tokens": 700 + turn, "output_tokens": 20, "total_tokens": 720 + turn,
        "latency_ms": 41, "call_records": _dump([_record(name, model, turn, plan, pad)]),
        "metadata": _dump({"policy_id": None, "turn": turn, "run_id": name, "step_id": step}),
    }  # fmt: skip
    answer = {
        **base, "id": 2 * turn + 2, "event_type": "environment", "reward": float(len(new)),
        "event_time": 1_790_000_000.5 + turn, "system_instance_id": "environment:crafter",
        "terminated": 0, "truncated": 0,
        "system_state_before": _dump({"text": _observation(turn, pad)}),
        "system_state_after": _dump({"text": _observation(turn + 1, pad)}),
        "metadata": _dump({"turn": turn, "run_id": name, "op_index": 2 * turn + 1}),
    }  # fmt: skip
    rows["events"] += [call, answer]
    _add_rewards(rows, name, turn, new, naming)


def _add_rewards(
    rows: dict[str, list[dict[str, Any]]], name: str, turn: int, new: list[str], naming: Naming
) -> None:
    rewards = [("sparse", None), ("achievement_delta", "turned_true")]
    for kind, word in [*rewards, *([("unique_achievement_delta", "new_unique")] if new else [])]:
        said = None if word is None else _dump(_named(naming, "achievements", word, new))
        rows["event_rewards"].append({
            "id": len(rows["event_rewards"]) + 1, "event_id": 2 * turn + 2, "session_id": name,
            "turn_number": turn, "reward_value": float(len(new)), "reward_type": kind,
            "annotation": said, "source": "environment", "created_at": _at(1, turn),
        })  # fmt: skip


def _record(name: str, model: str, turn: int, plan: Sequence[str], pad: int) -> dict[str, Any]:
    messages = [
        {"role": "system", "content": _SYSTEM},
        {"role": "user", "content": _observation(turn, pad) + "\n\nPrevious tool calls"},
    ]
    arguments = json.dumps({"actions": list(plan)})
    function = {"name": "interact_many", "arguments": arguments}
    called = [{"id": f"call_{turn}", "type": "function", "function": function}]
    message = {"role": "assistant", "content": "", "tool_calls": called}
    text = json.dumps({"id": f"chatcmpl-{turn}", "model": model, "choices": [{"index": 0,
                       "message": message, "finish_reason": "tool_calls"}]})  # fmt: skip
    part = {"data": None, "mime_type": None, "uri": None, "sha256": None}
    return {
        "call_id": f"{name}-{turn}", "api_type": "chat_completions", "provider": "custom",
        "model_name": model, "schema_version": "1.0", "latency_ms": 41,
        "request_params": {"temperature": 0.2, "raw_params": {
            "messages": messages, "model": model, "tools": TOOLS}},
        "input_messages": [
            {"role": m["role"], "parts": [{"type": "text", "text": m["content"], **part}],
             "name": None, "tool_call_id": None, "metadata": {}}
            for m in messages
        ],
        "output_messages": [{"role": "assistant", "parts": [{"type": "text", "text": text}]}],
        "output_text": text,
        "output_tool_calls": [{"name": "interact_many", "arguments_json": arguments,
                               "call_id": f"call_{turn}", "index": 0}],
        "usage": {"total_tokens": 720 + turn}, "outcome": "success", "error": None,
    }  # fmt: skip


def _observation(turn: int, pad: int) -> str:
    text = f"=== CRAFTER GAME STATE ===\nStep: {turn}/10000\nHealth: 9\n"
    return text + "Choose your next actions.\n" + "grass tree water sand " * (pad // 22)


def _named(naming: Naming, app: str, exporter: str, names: list[str]) -> dict[str, list[str]]:
    words = {"app": (app,), "exporter": (exporter,), "both": (app, exporter)}[naming]
    return dict.fromkeys(words, names)


def _at(number: int, turn: int) -> str:
    return f"2026-11-23T19:{number % 60:02d}:{turn % 60:02d}.652283+00:00"


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
