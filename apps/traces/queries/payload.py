"""What is in an episode's payload: turns with their messages, steps with their views."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from apps.accounts.models import Project
from apps.runs import storage
from apps.runs.ingest.views import live_key
from apps.runs.models import LiveView, Run
from apps.traces.models import Episode
from engine.errors import StorageError
from engine.traces.codec import decode_trace
from engine.traces.pieces import read_columns, read_steps, read_turn, read_turns
from engine.traces.record import EpisodeKey, Step, Trace, Turn

MAX_PAYLOAD = 128 * 1024 * 1024


class Opening(NamedTuple):
    """How a game was put to a model: the first messages and the tools, as they were sent."""

    episode_id: int
    system: str
    user: str
    tools: list[dict[str, Any]]


def load_trace(episode: Episode) -> Trace:
    """The whole trace. Raises StorageError when the payload is missing or not what was stored."""
    return decode_trace(load_payload(episode))


def load_turns(episode: Episode) -> list[Turn]:
    """The model calls with their prompts."""
    return read_turns(load_payload(episode))


def load_turn(episode: Episode, index: int) -> Turn | None:
    """One model call with its prompt; None when there is none of this index."""
    return read_turn(load_payload(episode), index)


def find_opening(*, project: Project, model: str, task: str) -> Opening | None:
    """The opening of the newest game of the model, else of anybody's in its task; None without."""
    rows = Episode.objects.filter(run__project=project).exclude(storage_key="").order_by("-id")
    episode = rows.filter(model=model).first() or rows.filter(task=task).first()
    if episode is None:
        return None
    try:
        trace = load_trace(episode)
    except StorageError:
        return None
    said = trace.turns[0].messages if trace.turns else []
    words = {message.get("role"): str(message.get("content") or "") for message in said}
    return Opening(episode.pk, words.get("system", ""), words.get("user", ""), trace.tools)


def load_payload(episode: Episode) -> bytes:
    """The bytes of the trace file, checked against the hash in its row."""
    data = storage.read_bytes(episode.storage_key, limit=MAX_PAYLOAD)
    if hashlib.sha256(data).hexdigest() != episode.payload_sha256:
        raise StorageError(
            f"The payload of trace {episode.pk} is not the one that was stored.",
            hint="The file in storage was changed or damaged; restore it from a backup.",
            retryable=False,
        )
    return data


def episode_steps(episode: Episode, *, after: int = 0) -> dict[str, Any]:
    """Views, actions, rewards and hashes of the steps behind number `after` (steps count from 1).

    `first_view` is the fresh world (view 0). A step: index, turn, action, reward, unlocked, hash,
    view (base64). `done` is always true: the episode has ended.
    """
    part = read_steps(load_payload(episode))
    return {
        "first_view": _text(part.first_view),
        "first_hash": part.first_hash,
        "steps": [
            _step(index, step) for index, step in enumerate(part.steps, start=1) if index > after
        ],
        "n_steps": len(part.steps),
        "done": True,
    }


def packed_steps(episode: Episode) -> dict[str, Any]:
    """All steps for a replay, a tenth of `episode_steps`: columns instead of objects.

    `actions` are places in `names`; `unlocked` is [step, names] of the steps that unlocked
    something; `views` is zlib in base64, the views one behind the other, of `sizes` bytes each.
    """
    columns = read_columns(load_payload(episode))
    names = sorted(set(columns.actions))
    place = {name: index for index, name in enumerate(names)}
    return {
        "turns": columns.turns,
        "names": names,
        "actions": [place[name] for name in columns.actions],
        "unlocked": [[step, got] for step, got in enumerate(columns.unlocked, start=1) if got],
        "sizes": columns.sizes,
        "views": _text(columns.views),
    }


def live_steps(run: Run, key: Sequence[Any], *, after: int = 0) -> dict[str, Any] | None:
    """The same of an episode that still plays, from its live row; hashes come with the payload.

    `key`: the episode's key, as a list. None when it neither plays nor is stored.
    """
    row = LiveView.objects.filter(run=run, key=live_key(list(key))).first()
    if row is None:
        stored = Episode.objects.filter(run=run, **EpisodeKey(*key)._asdict()).first()
        return episode_steps(stored, after=after) if stored else None
    parts = [*row.past.order_by("first_step").values_list("first_step", "data")]
    parts.append((int(row.data.get("first_step", 0)), row.data))
    first = parts[0][0]
    views = [view for _, data in parts for view in data.get("views", [])]
    rewards = [reward for _, data in parts for reward in data.get("rewards", [])]
    unlocks: dict[int, list[str]] = {}
    for name, step in row.data.get("unlocks", []):
        unlocks.setdefault(int(step), []).append(name)
    # View i of the row is the world after `first + i` steps; its reward led there.
    steps = [
        {"index": first + i, "reward": reward, "unlocked": unlocks.get(first + i, []), "view": view}
        for i, (view, reward) in enumerate(zip(views, rewards, strict=False))
    ]
    return {
        "first_view": views[0] if views and first == 0 else None,
        "steps": [step for step in steps if step["index"] > after],
        "n_steps": first + len(views) - 1 if views else 0,
        "n_turns": row.data.get("n_turns", 0),
        "call": row.data.get("call", ""),
        "version": row.version,
        "done": False,
    }


def _step(index: int, step: Step) -> dict[str, Any]:
    return {
        "index": index,
        "turn": step.turn,
        "action": step.action,
        "reward": step.reward,
        "unlocked": list(step.unlocked),
        "hash": step.state_hash,
        "view": _text(step.view),
    }


def _text(view: bytes) -> str:
    return base64.b64encode(view).decode()
