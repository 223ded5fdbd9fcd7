"""Reading what is new: rows of events and live games, as the messages that streams carry."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from apps.runs.models import LiveView, Run
from apps.runs.queries import list_events

PAGE = 500  # rows read at once
MAX_VIEWS = 40  # views of one game in one message: a late reader needs the newest, not all


class Item(NamedTuple):
    """One message, encoded once for all clients. `number` is an event's seq or a view's version."""

    topic: Literal["run", "live", "pages"]
    body: str  # JSON
    project_id: int = 0
    run_id: int = 0
    key: int = 0  # row id of a live game
    number: int = 0


class Live(NamedTuple):
    """What has been told of one running game."""

    run_id: int
    project_id: int
    version: int
    next_step: int  # of the first view that has not been told
    n_unlocks: int
    n_turns: int


def newest_seqs(run_ids: Iterable[int]) -> dict[int, int]:
    """The last seq given out in each run."""
    return dict(Run.objects.filter(pk__in=list(run_ids)).values_list("pk", "event_seq"))


def events_after(run_id: int, seq: int, limit: int = PAGE) -> list[Item]:
    """Events of a run behind `seq`, oldest first, metrics included, as `/events` lists them."""
    return [
        Item(
            "run",
            _json({**row._asdict(), "run_id": run_id, "at": row.at.isoformat()}),
            run_id=run_id,
            number=row.seq,
        )
        for row in list_events(run=Run(pk=run_id), after=seq, limit=limit)
    ]


def live_versions(project_ids: Iterable[int], run_ids: Iterable[int]) -> dict[int, int]:
    """Row id → version of the running games of these projects and runs."""
    rows = LiveView.objects.filter(run__project_id__in=list(project_ids)) | LiveView.objects.filter(
        run_id__in=list(run_ids)
    )
    return dict(rows.values_list("pk", "version"))


def live_changes(
    ids: Iterable[int], told: dict[int, Live], max_views: int = MAX_VIEWS
) -> Iterator[tuple[int, Live, Item]]:
    """What to tell of these games beyond what was told; yields row id, new knowledge, message."""
    rows = LiveView.objects.filter(pk__in=list(ids)).values(
        "pk", "run_id", "run__project_id", "key", "seed", "model", "version", "data"
    )
    for row in rows:
        before = told.get(row["pk"])
        message, knowledge = _live_message(row, before, max_views)
        yield (
            row["pk"],
            knowledge,
            Item(
                "live",
                _json(message),
                project_id=row["run__project_id"],
                run_id=row["run_id"],
                key=row["pk"],
                number=row["version"],
            ),
        )


def _live_message(
    row: Mapping[str, Any], before: Live | None, max_views: int
) -> tuple[dict[str, Any], Live]:
    """Only the views, rewards and unlocks that came since `before`, at most the newest few."""
    data = row["data"]
    views, unlocks = data.get("views", []), data.get("unlocks", [])
    first_step = data.get("first_step", 0)
    if before and before.next_step > first_step + len(views):
        before = None  # a new attempt plays it from the start
    told = before.next_step - first_step if before else 0
    first = max(told, len(views) - max_views, 0)
    message = {
        "id": row["pk"],
        "run_id": row["run_id"],
        "key": row["key"],
        "seed": row["seed"],
        "model": row["model"],
        "version": row["version"],
        "first_step": first_step + first,
        "views": views[first:],
        "rewards": data.get("rewards", [])[first:],
        "unlocks": unlocks[before.n_unlocks if before else 0 :],
        "unlocked": [name for name, _ in unlocks],  # for a page that comes in the middle
        "n_turns": data.get("n_turns", 0),
        "call": data.get("call", ""),
        "turns": [
            turn for turn in data.get("turns", []) if not before or turn[0] >= before.n_turns
        ],
    }
    next_step = first_step + len(views)
    knowledge = Live(
        row["run_id"],
        row["run__project_id"],
        row["version"],
        next_step,
        len(unlocks),
        data.get("n_turns", 0),
    )
    return message, knowledge


def gone(row_id: int, game: Live) -> Item:
    """The message that a game is over: its trace is stored."""
    body = _json({"id": row_id, "run_id": game.run_id, "gone": True})
    return Item("live", body, game.project_id, game.run_id, row_id, game.version + 1)


def changed(words: Iterable[str]) -> Item:
    """The message that names what changed, for pages that refresh fragments."""
    return Item("pages", _json({"changed": sorted(words)}))


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
