"""The `trace` of a rollout's answer, in the form that the client asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.http.played import Played, usage_of
from engine.traces.record import Turn
from engine.traces.v3.schema import JSON_COLUMNS
from engine.traces.v3.session import Row, Session, loads


def trace_answer(played: Played, session: Session) -> dict[str, Any]:
    """The trace in the form that was asked for; `structured` is the same as `full`."""
    row = session.row
    head = {
        "session_id": row["session_id"],
        "created_at": row["created_at"],
        "metadata": loads(row["metadata"]),
    }
    if played.body.record.trace_format != "compact":
        return {
            **head,
            "session_time_steps": _rows(session, "session_timesteps"),
            "event_history": _rows(session, "events"),
            "markov_blanket_message_history": _rows(session, "messages"),
            "event_rewards": _rows(session, "event_rewards"),
            "outcome_rewards": _rows(session, "outcome_rewards"),
        }
    return {
        **head,
        "events_count": row["num_events"],
        "messages_count": row["num_messages"],
        "lm_calls": [_lm_call(played, turn) for turn in played.trace.turns],
        "decision_rewards": [
            {
                "turn": turn.index,
                "ach_delta": len(turn.unlocked),
                "unique_delta": len(turn.unlocked),
                "achievements": list(turn.unlocked),
                "unique_achievements": list(turn.unlocked),
            }
            for turn in played.trace.turns
        ],
    }


def _lm_call(played: Played, turn: Turn) -> dict[str, Any]:
    summary, usage = played.trace.summary, usage_of(turn)
    return {
        "turn": turn.index,
        "model": summary.model or summary.policy,
        "provider": summary.provider,
        "total_tokens": usage["total_tokens"],
        "input_tokens": usage["prompt_tokens"],
        "output_tokens": usage["completion_tokens"],
        "latency_ms": round(turn.model_ms),
        "tool_calls": len(turn.raw_calls),
    }


def _rows(session: Session, table: str) -> list[Row]:
    """The rows of a table with their JSON columns read."""
    columns = JSON_COLUMNS.get(table, ())
    return [_opened(row, columns) for row in session.rows(table)]


def _opened(row: Mapping[str, Any], columns: tuple[str, ...]) -> Row:
    return {name: loads(value) if name in columns else value for name, value in row.items()}
