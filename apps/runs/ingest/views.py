"""View events → one live row an episode, gone when the episode itself is stored.

Views are pictures for whoever watches now. They are never events; the trace holds them for good.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.utils.timezone import now

from apps.runs.models import LivePast, LiveView
from engine.events import Event

KEPT_VIEWS = 10  # the newest stay in the live row, those of the last batch in any case
MAX_VIEWS = 26  # of a row; with more, the older ones go to LivePast, so a batch costs a few KB
_compact = json.JSONEncoder(separators=(",", ":")).encode
MAX_TURNS = 20  # the newest of a row, for the transcript of whoever watches
CARRIED = ("first_step", "views", "rewards", "unlocks", "n_turns", "call")


def live_key(key: list[Any]) -> str:
    """EpisodeKey as compact JSON: the name of a live row."""
    return _compact(list(key))[:200]


@dataclass(slots=True)
class _Row:
    """A live row's columns that change. No model: making 64 of them costs as much as the write."""

    pk: int
    version: int
    data: dict[str, Any]


def are_known(run_id: int, events: list[Event]) -> bool:
    """Whether these are views, and each of a game that has its row already."""
    if not events or any(event.type != "view" for event in events):
        return False
    keys = {live_key(event.data["key"]) for event in events}
    return LiveView.objects.filter(run=run_id, key__in=keys).count() == len(keys)


def merge_views(run_id: int, shard_id: int, events: list[Event]) -> None:
    """Append new views to their episodes' live rows; the shard's row is locked.

    64 games that play are 64 rows four times a second (bench/wall.py measures it): so a row holds
    only the newest views, and all rows are read and written at once.
    """
    batches: dict[str, list[Event]] = {}
    for event in events:
        batches.setdefault(live_key(event.data["key"]), []).append(event)
    if not batches:
        return
    rows = _read(run_id, list(batches))
    afresh = [row.pk for key, row in rows.items() if _starts_afresh(row.data, batches[key])]
    if afresh:
        LivePast.objects.filter(live__in=afresh).delete()
    fresh = [
        _new_row(run_id, shard_id, key, some[-1])
        for key, some in batches.items()
        if key not in rows
    ]
    rows |= {row.key: _Row(row.pk, 0, {}) for row in LiveView.objects.bulk_create(fresh)}
    past: list[LivePast] = []
    for key, some in batches.items():
        row = rows[key]
        for event in some:
            row.data = merged(row.data, event.data)
        row.version += len(some)
        if len(row.data["views"]) > MAX_VIEWS:
            n_new = sum(len(event.data["views"]) for event in some)
            row.data, older = _split(row.data, max(KEPT_VIEWS, n_new))
            past.append(LivePast(live_id=row.pk, **older))
    LivePast.objects.bulk_create(past)
    _write(shard_id, list(rows.values()))


def _read(run_id: int, keys: list[str]) -> dict[str, _Row]:
    """The rows of these games that are there; the ORM would take twice as long to hand them out."""
    table, key = (connection.ops.quote_name(n) for n in (LiveView._meta.db_table, "key"))
    marks = ", ".join(["%s"] * len(keys))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {key}, id, version, data FROM {table} "  # noqa: S608
            f"WHERE run_id = %s AND {key} IN ({marks})",
            [run_id, *keys],
        )
        return {name: _Row(pk, v, json.loads(data)) for name, pk, v, data in cursor.fetchall()}


def _new_row(run_id: int, shard_id: int, key: str, event: Event) -> LiveView:
    seed, model = event.data["seed"], event.data.get("model", "")[:300]
    return LiveView(
        run_id=run_id, key=key, shard_id=shard_id, seed=seed, model=model, updated_at=now()
    )


def _write(shard_id: int, rows: list[_Row]) -> None:
    """The rows as they are now; bulk_update would take longer than all the rest."""
    table = connection.ops.quote_name(LiveView._meta.db_table)
    at = connection.ops.adapt_datetimefield_value(now())
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {table} SET shard_id = %s, data = %s, version = %s, updated_at = %s "  # noqa: S608
            "WHERE id = %s",
            [(shard_id, _compact(row.data), row.version, at, row.pk) for row in rows],
        )


def _starts_afresh(old: dict[str, Any], events: list[Event]) -> bool:
    """Whether an event among these does not follow the one before: a new attempt plays it."""
    data = old
    for event in events:
        if not _follows(data, event.data):
            return True
        data = event.data
    return False


def _follows(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return bool(new["first_step"] == old.get("first_step", 0) + len(old.get("views", [])))


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The views of a row with those that came. A batch that does not follow starts afresh."""
    if not old or not _follows(old, new):
        turns = new.get("turns", [])
        return {**{key: new[key] for key in CARRIED}, "turns": turns, "past_return": 0.0}
    return {
        "first_step": old["first_step"],
        "views": old["views"] + new["views"],
        "rewards": old["rewards"] + new["rewards"],
        "unlocks": old["unlocks"] + new["unlocks"],
        "n_turns": new["n_turns"],
        "call": new["call"],
        "turns": [*old.get("turns", ()), *new.get("turns", ())][-MAX_TURNS:],
        "past_return": old.get("past_return", 0.0),
    }


def _split(data: dict[str, Any], n_kept: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The row's data with its newest views only; the fields of a LivePast with the others."""
    n = max(0, len(data["views"]) - n_kept)
    views, rewards = data["views"], data["rewards"]
    older = {
        "first_step": data["first_step"],
        "data": {"views": views[:n], "rewards": rewards[:n]},
    }
    newest = {
        **data,
        "first_step": data["first_step"] + n,
        "views": views[n:],
        "rewards": rewards[n:],
        "past_return": data["past_return"] + sum(rewards[:n]),
    }
    return newest, older


def drop_views(run_id: int, episodes: list[Event]) -> None:
    """Delete the live rows of episodes that are stored now."""
    if not episodes:
        return
    keys = [live_key(_key(event.data["summary"])) for event in episodes]
    LiveView.objects.filter(run=run_id, key__in=keys).delete()


def _key(summary: dict[str, Any]) -> list[Any]:
    names = ("task", "world_version", "seed", "repeat", "policy_version")
    return [summary[name] for name in names]
