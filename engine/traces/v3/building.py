"""Makes the rows of tracing v3 out of one of our traces.

Lives here: what each column says of an episode. Not here: the way back (`meaning.py`), the file.

Achievements are written under both names: the original task app writes `annotation.achievements`
and `reward_metadata.final_achievements`, the original exporter reads `turned_true`, `new_unique`
and `reward_metadata.achievements`. What v3 has no column for stands in `metadata.synthweb` of the
session and in `event_metadata`, so that our own file can be imported and played again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.traces.record import Step, Trace, Turn
from engine.traces.v3.call_record import call_record, dump, iso, text_of
from engine.traces.v3.session import Row, Session

OURS = "synthweb"
# What the session's metadata keeps of our summary: no column of v3 has it.
KEPT = (
    "task", "world_version", "seed", "repeat", "policy_version", "policy", "model", "provider",
    "temperature", "ended", "ending", "error", "started_at", "duration_s", "episode_return",
    "outcome_reward", "achievements",
)  # fmt: skip
# Behind this the prompt lists earlier calls; before it stands the observation.
_PAST = "\n\nPrevious tool calls"


@dataclass(slots=True)
class _Rows:
    """The rows of a session while they are made, with the ids that link them."""

    session_id: str
    at: float  # epoch seconds at which the episode began
    tables: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, table: str, **values: Any) -> int:
        rows = self.tables.setdefault(table, [])
        rows.append({"id": len(rows) + 1, "session_id": self.session_id, **values})
        return len(rows)

    def time(self, offset_ms: float) -> str:
        return iso(self.at + offset_ms / 1000)


def build_session(
    trace: Trace, *, session_id: str, metadata: Mapping[str, Any] | None = None
) -> Session:
    """The session of an episode. `metadata`: more for the session's metadata (run_id, …)."""
    summary = trace.summary
    rows = _Rows(session_id, summary.started_at)
    about = {
        "run_id": session_id, "policy_name": summary.policy, "env_name": summary.task,
        "seed": summary.seed, **(metadata or {}),
    }  # fmt: skip
    before = set[str]()
    for turn in trace.turns:
        _add_turn(rows, trace, turn, about, before)
        before.update(turn.unlocked)
    _add_outcome(rows, trace)
    ours = {name: getattr(summary, name) for name in KEPT}
    ours |= {"options": trace.options, "first_hash": trace.first_hash}
    counts = {
        f"num_{name}": len(rows.tables.get(table, ()))
        for name, table in (
            ("timesteps", "session_timesteps"), ("events", "events"), ("messages", "messages"),
        )
    }  # fmt: skip
    row = {
        "session_id": session_id,
        "created_at": iso(summary.started_at),
        "metadata": dump({**about, OURS: ours}),
        **counts,
    }
    return Session(row, rows.tables)


def _add_turn(
    rows: _Rows, trace: Trace, turn: Turn, about: Mapping[str, Any], before: set[str]
) -> None:
    name = f"decision_{turn.index}"
    called_ms = turn.started_ms + turn.queue_ms + turn.model_ms
    played = trace.steps[turn.first_step : turn.first_step + turn.n_steps]
    timestep = rows.add(
        "session_timesteps",
        step_id=name,
        step_index=turn.index,
        turn_number=turn.index,
        started_at=rows.time(turn.started_ms),
        completed_at=rows.time(called_ms + turn.env_ms),
        num_events=1 + bool(played),
        num_messages=0,
        step_metadata="{}",
    )
    metadata = {"turn": turn.index, "run_id": about["run_id"], "step_id": name}
    _add_call(rows, trace, turn, timestep, {"policy_id": about.get("policy_id"), **metadata})
    if played:
        event = _add_step(rows, trace, turn, played, timestep, metadata)
        _add_rewards(rows, turn, event, before)
    _add_messages(rows, turn, timestep, called_ms)


def _add_call(
    rows: _Rows, trace: Trace, turn: Turn, timestep: int, metadata: dict[str, Any]
) -> None:
    summary = trace.summary
    ours = {
        "actions": turn.actions, "error_code": turn.error_code, "error": turn.error,
        "step_reward": turn.step_reward, "n_retries": turn.n_retries, "queue_ms": turn.queue_ms,
    }  # fmt: skip
    rows.add(
        "events",
        timestep_id=timestep,
        event_type="cais",
        system_instance_id=f"policy:{summary.policy}",
        event_time=rows.at + (turn.started_ms + turn.queue_ms + turn.model_ms) / 1000,
        model_name=summary.model or summary.policy,
        provider=summary.provider or None,
        input_tokens=turn.prompt_tokens,
        output_tokens=turn.completion_tokens,
        total_tokens=turn.prompt_tokens + turn.completion_tokens,
        cost_usd=_number(turn.cost_usd * 100),
        latency_ms=round(turn.model_ms),
        call_records=dump([call_record(rows.session_id, rows.at, trace, turn)]),
        metadata=dump(metadata),
        event_metadata=dump({OURS: ours}),
    )


def _add_step(
    rows: _Rows,
    trace: Trace,
    turn: Turn,
    played: Sequence[Step],
    timestep: int,
    metadata: dict[str, Any],
) -> int:
    """The environment's answer to a call."""
    last = turn.index == len(trace.turns) - 1
    ended = trace.summary.ended if last else ""
    after = "" if last else observation_text(trace.turns[turn.index + 1])
    ours = {
        "actions": [step.action for step in played],
        "rewards": [step.reward for step in played],
        "hashes": [step.state_hash for step in played],
        "unlocked": [list(step.unlocked) for step in played],
        "env_ms": turn.env_ms,
    }
    return rows.add(
        "events",
        timestep_id=timestep,
        event_type="environment",
        system_instance_id=f"environment:{trace.summary.task}",
        event_time=rows.at + (turn.started_ms + turn.queue_ms + turn.model_ms + turn.env_ms) / 1000,
        reward=turn.reward,
        terminated=int(ended in ("done", "died")),
        truncated=int(ended in ("max_steps", "max_turns", "limit")),
        system_state_before=dump({"text": observation_text(turn)}),
        system_state_after=dump({"text": after}) if after else None,
        metadata=dump({**metadata, "op_index": 2 * turn.index + 1}),
        event_metadata=dump({OURS: ours}),
    )


def _add_rewards(rows: _Rows, turn: Turn, event: int, before: set[str]) -> None:
    """The rewards that the environment's answer gave."""
    new = [name for name in turn.unlocked if name not in before]
    _add_reward(rows, turn, event, "sparse", turn.reward, None)
    _add_reward(rows, turn, event, "achievement_delta", len(turn.unlocked), {
        "achievements": turn.unlocked, "turned_true": turn.unlocked,
    })  # fmt: skip
    if new:
        _add_reward(rows, turn, event, "unique_achievement_delta", len(new), {
            "achievements": new, "new_unique": new,
        })  # fmt: skip


def _add_reward(
    rows: _Rows, turn: Turn, event: int, kind: str, value: float, annotation: Any
) -> None:
    rows.add(
        "event_rewards",
        event_id=event,
        turn_number=turn.index,
        reward_value=float(value),
        reward_type=kind,
        annotation=None if annotation is None else dump(annotation),
        source="environment",
        created_at=rows.time(turn.started_ms + turn.queue_ms + turn.model_ms + turn.env_ms),
    )


def _add_messages(rows: _Rows, turn: Turn, timestep: int, called_ms: float) -> None:
    """The conversation. The system prompt, the same in every turn, only once."""
    said: list[tuple[str, str, float]] = []
    for message in turn.messages:
        if message.get("role") in ("system", "user") and not (
            message["role"] == "system" and turn.index
        ):
            said.append((message["role"], text_of(message.get("content")), turn.started_ms))
    if turn.content:
        said.append(("assistant", text_of(turn.content), called_ms))
    said += [("tool_use", dump(call), called_ms) for call in turn.raw_calls]
    if turn.raw_calls:
        result = {"reward": turn.reward, "achievements_added": turn.unlocked, "error": turn.error}
        said.append(("tool_result", dump(result), called_ms + turn.env_ms))
    for kind, content, offset in said:
        rows.add(
            "messages",
            timestep_id=timestep,
            message_type=kind,
            content=content,
            timestamp=rows.time(offset),
            event_time=rows.at + offset / 1000,
            metadata=dump({"step_id": f"decision_{turn.index}"}),
        )
    rows.tables["session_timesteps"][-1]["num_messages"] = len(said)


def _add_outcome(rows: _Rows, trace: Trace) -> None:
    summary = trace.summary
    rows.add(
        "outcome_rewards",
        # An INTEGER column that takes fractions: SQLite keeps them, the original cut them off.
        total_reward=_number(summary.outcome_reward),
        achievements_count=summary.n_achievements,
        total_steps=summary.n_turns,
        created_at=iso(summary.started_at + summary.duration_s),
        reward_metadata=dump(
            {
                "env_seed": summary.seed,
                "final_achievements": summary.achievements,
                "achievements": summary.achievements,
            }
        ),
    )


def observation_text(turn: Turn) -> str:
    """What the model saw of the world: the user's message without the list of earlier calls."""
    users = [message for message in turn.messages if message.get("role") == "user"]
    return text_of(users[-1].get("content")).partition(_PAST)[0] if users else ""


def _number(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value
