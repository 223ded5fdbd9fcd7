"""View events → one live row an episode, gone when the episode itself is stored.

Views are pictures for whoever watches now. They are never events; the trace holds them for good.
"""

from __future__ import annotations

import json
from typing import Any

from django.utils.timezone import now

from apps.runs.ingest.context import IngestContext
from apps.runs.models import LiveView
from engine.events import Event

MAX_VIEWS = 2_000  # of one episode; older ones are dropped, so a batch costs at most 300 KB


def live_key(key: list[Any]) -> str:
    """EpisodeKey as compact JSON: the name of a live row."""
    return json.dumps(list(key), separators=(",", ":"))[:200]


def merge_views(context: IngestContext, events: list[Event]) -> None:
    """Append new views to their episodes' live rows."""
    batches: dict[str, list[Event]] = {}
    for event in events:
        batches.setdefault(live_key(event.data["key"]), []).append(event)
    rows = {r.key: r for r in LiveView.objects.filter(run=context.run, key__in=list(batches))}
    moment = now()
    for key, some in batches.items():
        row = rows.get(key) or LiveView(run=context.run, key=key)
        row.shard = context.shard
        row.seed, row.model = some[-1].data["seed"], some[-1].data.get("model", "")[:300]
        for event in some:
            row.data = merged(row.data, event.data)
        row.version += len(some)
        row.updated_at = moment
        row.save()


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """All views so far. A batch that does not follow the last one (a new attempt) starts afresh.

    Result: {first_step, views, rewards, unlocks, n_turns, call}; the newest MAX_VIEWS are kept.
    """
    first = old.get("first_step", 0)
    views, rewards, unlocks = old.get("views", []), old.get("rewards", []), old.get("unlocks", [])
    if not old or new["first_step"] != first + len(views):
        first, views, rewards, unlocks = new["first_step"], [], [], []
    views, rewards = views + new["views"], rewards + new["rewards"]
    surplus = max(0, len(views) - MAX_VIEWS)
    return {
        "first_step": first + surplus,
        "views": views[surplus:],
        "rewards": rewards[surplus:],
        "unlocks": unlocks + new["unlocks"],
        "n_turns": new["n_turns"],
        "call": new["call"],
    }


def drop_views(context: IngestContext, episodes: list[Event]) -> None:
    """Delete the live rows of episodes that are stored now."""
    if not episodes:
        return
    keys = [live_key(_key(event.data["summary"])) for event in episodes]
    LiveView.objects.filter(run=context.run, key__in=keys).delete()


def _key(summary: dict[str, Any]) -> list[Any]:
    names = ("task", "world_version", "seed", "repeat", "policy_version")
    return [summary[name] for name in names]
