"""Reads one of our traces from the rows of tracing v3: the way back from `building.py`.

Lives here: the episode and its summary, as the rows say them. Not here: turns (`turns.py`), the
pictures and state hashes that v3 does not hold (`engine/rollout/resimulate.py` plays the actions
again), files (`reader.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from engine.traces.record import ENDINGS, EpisodeSummary, Step, Trace, Turn
from engine.traces.v3.building import OURS
from engine.traces.v3.cells import epoch_of, number_of, object_of, text_of
from engine.traces.v3.choosing import named
from engine.traces.v3.session import Row, Session, load_object, loads
from engine.traces.v3.turns import read_turns

WORLD = "tracing-v3"  # the world version of a game that our own world does not play the same
NO_SEED = -1


def read_trace(session: Session, *, repeat: int = 0) -> Trace:
    """The episode of a session: no views, no hashes, world version `tracing-v3`."""
    about = load_object(session.row.get("metadata"))
    ours = object_of(about.get(OURS))
    began = epoch_of(session.row["created_at"])
    turns, steps = read_turns(session, began)
    summary = _summary(session, about, ours, turns, steps)
    summary.repeat = repeat
    options = object_of(ours.get("options")) or _options(about)
    return Trace(
        summary=summary,
        options=options,
        tools=_tools(session),
        first_view=b"",
        first_hash=text_of(ours.get("first_hash"), 16),
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
    began = epoch_of(session.row["created_at"])
    ended, ending = _ending(session, ours)
    return EpisodeSummary(
        task=text_of(about.get("env_name"), 60) or "unknown",
        world_version=WORLD,
        seed=seed_of(session),
        repeat=0,
        policy_version=0,
        policy=text_of(about.get("policy_name"), 60) or "imported",
        model=text_of(ours.get("model", model), 300),
        provider=text_of(provider, 60),
        temperature=_temperature(calls),
        outcome_reward=number_of(outcome.get("total_reward", len(names))),
        n_achievements=len(names),
        achievements=names,
        n_steps=len(steps),
        ended=ended,
        ending=ending,
        error=text_of(ours.get("error"), 4000),
        started_at=began,
        duration_s=number_of(ours.get("duration_s")) or _span(times),
        final_hash=steps[-1].state_hash if steps else "",
        **_of_turns(turns),
    )


_TURN_ROW = (
    "index", "actions", "error_code", "unlocked", "reward", "n_steps", "prompt_tokens",
    "completion_tokens", "queue_ms", "model_ms", "env_ms",
)  # fmt: skip


def _of_turns(turns: list[Turn]) -> dict[str, Any]:
    """The part of a summary that its turns alone say."""
    return {
        "episode_return": sum(turn.reward for turn in turns),
        "n_turns": len(turns),
        "n_failed_calls": sum(bool(turn.error_code) for turn in turns),
        "prompt_tokens": sum(turn.prompt_tokens for turn in turns),
        "completion_tokens": sum(turn.completion_tokens for turn in turns),
        "cost_usd": sum(turn.cost_usd for turn in turns),
        "turns": [{name: getattr(turn, name) for name in _TURN_ROW} for turn in turns],
        "unlocks": _unlocks(turns),
    }


def _span(times: list[float]) -> float:
    """Seconds from the first event to the last; clocks of other columns may be other clocks."""
    return round(max(times) - min(times), 3) if times else 0.0


def _ending(session: Session, ours: Mapping[str, Any]) -> tuple[str, str]:
    if ours.get("ended") in ENDINGS:
        return str(ours["ended"]), text_of(ours.get("ending"), 200)
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
                return number_of(said["temperature"])
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


def _unlocks(turns: list[Turn]) -> list[dict[str, Any]]:
    """At the last step of the turn that unlocked it: v3 does not say which step it was."""
    return [
        {"name": name, "step": max(0, turn.first_step + turn.n_steps - 1), "turn": turn.index}
        for turn in turns
        for name in turn.unlocked
    ]
