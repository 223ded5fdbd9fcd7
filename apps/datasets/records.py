"""One record a turn: messages exactly as the model was sent them, its answer, the tools.

    {"messages": [system, user, …, assistant with tool_calls], "tools": […], "metadata": {…}}

Stored with arguments as the model wrote them (a string). Formats of the export: `trl` has them as
an object, as TRL takes them; `openai` is a fine-tuning file (no metadata); `synth` is the form of
the `synth-ai` exporter. Pure functions, one record at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from apps.datasets.selection import select_turns
from apps.traces.models import Episode
from apps.traces.queries import load_trace
from engine.traces.curation import Curator, led_to
from engine.traces.record import Trace, Turn

if TYPE_CHECKING:
    from engine.config import DatasetFilter

Record = dict[str, Any]


def episode_records(
    episode: Episode, wanted: DatasetFilter, curator: Curator | None = None
) -> Iterator[Record]:
    """The records of one game. Raises StorageError when its payload is missing or damaged.

    `curator`: leaves out doubles and too many of a kind, over all games that it sees. Of a branch
    only what was played after the fork: the turns before are the original's.
    """
    trace = load_trace(episode)
    unlocked: list[str] = []
    own = [turn for turn in trace.turns if turn.first_step >= (episode.forked_at_step or 0)]
    kept = {turn.index for turn in select_turns(own, wanted)}
    unlocks = {turn.index: turn.unlocked for turn in trace.turns}
    for turn in trace.turns:
        unlocked += [name for name in turn.unlocked if name not in unlocked]
        if turn.index not in kept or not (turn.content or turn.raw_calls):
            continue
        record = _record(episode, trace, turn, list(unlocked))
        goal = led_to(unlocks, turn.index)
        if curator is None or curator.keeps(json.dumps(record["messages"]).encode(), goal):
            yield record


def make_curator(wanted: DatasetFilter) -> Curator:
    """What a filter asks of all its records together."""
    return Curator(dedupe=wanted.dedupe, max_per_achievement=wanted.max_per_achievement)


def _record(episode: Episode, trace: Trace, turn: Turn, unlocked: list[str]) -> Record:
    return {
        "messages": [*turn.messages, _answer(turn)],
        "tools": trace.tools,
        "metadata": {
            "episode": episode.pk,
            "run": episode.run_id,
            "turn": turn.index,
            "task": episode.task,
            "world_version": episode.world_version,
            "seed": episode.seed,
            "repeat": episode.repeat,
            "model": episode.model,
            "provider": episode.provider or episode.policy,
            "unlocked": list(turn.unlocked),
            "cumulative": unlocked,
            "episode_return": episode.episode_return,
            "n_achievements": episode.n_achievements,
        },
    }


def _answer(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": turn.content}
    if turn.raw_calls:
        message["tool_calls"] = [
            {
                "id": call["id"] or f"call_{index}",
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for index, call in enumerate(turn.raw_calls)
        ]
    return message


def to_trl(record: Record) -> Record:
    """Arguments as objects; one that is no JSON object stays the string that the model wrote."""
    return {**record, "messages": [_with_objects(message) for message in record["messages"]]}


def to_openai(record: Record) -> Record:
    """A line of a fine-tuning file: nothing but messages and tools."""
    messages = [
        {**message, "content": None} if message.get("tool_calls") and not message.get("content")
        else message
        for message in record["messages"]
    ]  # fmt: skip
    kept: Record = {"messages": messages}
    if record.get("tools"):
        kept["tools"] = record["tools"]
    return kept


def to_synth(record: Record) -> Record:
    """The form of `synth-ai`'s exporter; records of other origin keep their own metadata."""
    known = record.get("metadata", {})
    if "cumulative" not in known:
        return {"messages": record["messages"], "metadata": known}
    return {
        "messages": record["messages"],
        "metadata": {
            "session_id": f"{known['run']}-{known['seed']}-{known['repeat']}",
            "turn": known["turn"],
            "model": known["model"],
            "provider": known["provider"] or "unknown",
            "achievements": {
                "new_unique": known["unlocked"],
                "turned_true": known["unlocked"],
                "cumulative_unique": len(known["cumulative"]),
            },
            "user_has_image": False,
            "assistant_has_image": False,
            "has_image": False,
        },
    }


FORMATS: dict[str, Callable[[Record], Record]] = {
    "trl": to_trl,
    "openai": to_openai,
    "synth": to_synth,
}


def dump_record(record: Record) -> bytes:
    """One line of JSONL. Raises ValueError for NaN and for lone surrogates."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode() + b"\n"


def _with_objects(message: dict[str, Any]) -> dict[str, Any]:
    if not message.get("tool_calls"):
        return message
    return {**message, "tool_calls": [_with_object(call) for call in message["tool_calls"]]}


def _with_object(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function", {})
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            read = json.loads(arguments)
        except (ValueError, RecursionError):
            read = None
        if isinstance(read, dict):
            return {**call, "function": {**function, "arguments": read}}
    return call
