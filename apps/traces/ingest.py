"""Finished episodes become rows: episode, turns, unlocks. Runs inside ingest's transaction.

An episode has one key within its run. A second one with the same key (two attempts played it)
changes nothing, unless the stored one was broken: then the new one takes its place and its id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from apps.runs.models import Run, Shard
from apps.traces.models import Episode, EpisodeTurn, ImportedSession, Unlock
from engine.events import Event
from engine.traces.record import BROKEN, EpisodeKey
from synthweb.bell import ring


class Context(Protocol):
    """What is asked of a batch: `apps.runs.ingest.IngestContext`, or an import without a worker."""

    @property
    def run(self) -> Run: ...
    @property
    def shard(self) -> Shard | None: ...
    def store_file(self, file: Mapping[str, Any]) -> str: ...
    def note(self, event: Event, **data: Any) -> None: ...


_COPIED = (
    "task", "world_version", "seed", "repeat", "policy_version", "policy", "model", "provider",
    "temperature", "episode_return", "outcome_reward", "n_achievements", "n_steps", "n_turns",
    "n_failed_calls", "ended", "ending", "error", "prompt_tokens", "completion_tokens",
    "cost_usd", "duration_s", "final_hash", "final_view",
)  # fmt: skip
_TURN = (
    "index", "error_code", "reward", "n_steps", "prompt_tokens", "completion_tokens", "queue_ms",
    "model_ms", "env_ms",
)  # fmt: skip
_MAX_ERROR = 4000


def store_episodes(ctx: Context, events: Sequence[Event]) -> None:
    """Insert the episodes of a batch with a handful of statements, however many there are.

    An imported one whose session the project has already is left out.
    """
    events = _not_known(ctx, events)
    stored = _stored_episodes(ctx.run, (event.data["summary"]["seed"] for event in events))
    fresh: dict[EpisodeKey, tuple[Episode, Mapping[str, Any]]] = {}
    for event in events:
        episode, summary = _row(ctx, event), event.data["summary"]
        key = _key_of(ctx.run, summary)
        before = stored.get(key)
        if before is None or (key in fresh and _replaces(episode, before)):
            stored[key], fresh[key] = episode, (episode, summary)
        elif key not in fresh and _replaces(episode, before):
            _replace(before, episode, summary)
            stored[key] = episode
    Episode.objects.bulk_create([episode for episode, _ in fresh.values()])
    _store_parts(fresh.values())
    _store_origins(ctx.run, fresh, events)
    for event in events:
        ctx.note(event, episode_id=stored[_key_of(ctx.run, event.data["summary"])].pk)
    ring("pages:traces")


def _not_known(ctx: Context, events: Sequence[Event]) -> Sequence[Event]:
    hashes = {event.data["origin"]["sha256"] for event in events if "origin" in event.data}
    if not hashes:
        return events
    rows = ImportedSession.objects.filter(project=ctx.run.project_id, sha256__in=hashes)
    known = set(rows.values_list("sha256", flat=True))
    return [e for e in events if "origin" not in e.data or e.data["origin"]["sha256"] not in known]


def _store_origins(run: Run, fresh: Mapping[EpisodeKey, Any], events: Sequence[Event]) -> None:
    """Where new episodes were imported from.

    Two imports of one file at once: the later commit breaks the constraint and is tried again.
    """
    ImportedSession.objects.bulk_create(
        ImportedSession(
            project_id=run.project_id,
            episode=fresh[_key_of(run, event.data["summary"])][0],
            session_id=_plain(event.data["origin"]["session_id"])[:300],
            sha256=event.data["origin"]["sha256"],
        )
        for event in events
        if "origin" in event.data and _key_of(run, event.data["summary"]) in fresh
    )


def _stored_episodes(run: Run, seeds: Iterable[int]) -> dict[EpisodeKey, Episode]:
    rows = Episode.objects.filter(run=run, seed__in=set(seeds))
    names = EpisodeKey._fields
    return {_key_of(run, {name: getattr(row, name) for name in names}): row for row in rows}


def _key_of(run: Run, summary: Mapping[str, Any]) -> EpisodeKey:
    """What makes it the same game within its run.

    One that a remote task app played is in our world, or in one of its own where it cannot be
    played again: that shows only afterwards, so its world says nothing about which game it is.
    """
    key = EpisodeKey(*(summary[name] for name in EpisodeKey._fields))
    return key._replace(world_version="") if "task_app" in run.inputs else key


def _row(ctx: Context, event: Event) -> Episode:
    summary, payload = event.data["summary"], event.data["payload"]
    values = {name: _plain(summary[name]) for name in _COPIED}
    values["step_reward"] = summary.get("step_reward", 0.0)
    values["ending"] = values["ending"][:200]
    values["error"] = values["error"][:_MAX_ERROR]
    origin = event.data.get("origin")
    if origin:
        values |= {"verified": origin["verified"], "verify_note": _plain(origin["note"])[:300]}
    if "verified" in event.data:
        note = _plain(event.data.get("verify_note", ""))[:300]
        values |= {"verified": event.data["verified"], "verify_note": note}
    if ctx.run.kind == "fork":
        original = ctx.run.inputs["original"]
        values |= {"forked_from_id": original["id"], "forked_at_step": original["step"]}
    return Episode(
        run=ctx.run,
        shard=ctx.shard,
        broken=summary["ended"] in BROKEN,
        started_at=datetime.fromtimestamp(summary["started_at"], tz=UTC),
        storage_key=ctx.store_file(payload),
        payload_sha256=payload["sha256"],
        payload_size=payload["size"],
        **values,
    )


def _replaces(new: Episode, old: Episode) -> bool:
    """Whether a second game with the same key is kept instead of the first.

    A played-out one replaces a broken one. One that broke again does so too when it began later: it
    tells the newest error, and its start says that it need not be played once more.
    """
    if not old.broken:
        return False
    return not new.broken or (new.ended != "cancelled" and new.started_at > old.started_at)


def _replace(old: Episode, new: Episode, summary: Mapping[str, Any]) -> None:
    """Put the new game into the old row, so that links to it stay."""
    old.turns.all().delete()
    old.unlocks.all().delete()
    new.pk = old.pk
    new.save(force_update=True)
    _store_parts([(new, summary)])


def _store_parts(episodes: Iterable[tuple[Episode, Mapping[str, Any]]]) -> None:
    turns: list[EpisodeTurn] = []
    unlocks: list[Unlock] = []
    for episode, summary in episodes:
        turns += [_turn(episode, turn) for turn in summary["turns"]]
        unlocks += [Unlock(episode=episode, **unlock) for unlock in summary["unlocks"]]
    EpisodeTurn.objects.bulk_create(turns, batch_size=500)
    Unlock.objects.bulk_create(unlocks, batch_size=500)


def _turn(episode: Episode, turn: Mapping[str, Any]) -> EpisodeTurn:
    return EpisodeTurn(
        episode=episode,
        actions=_plain(_words(turn["actions"]))[:300],
        unlocked=_plain(_words(turn["unlocked"]))[:300],
        **{name: turn[name] for name in _TURN},
    )


def _words(value: Any) -> str:
    return value if isinstance(value, str) else " ".join(map(str, value))


def _plain(value: Any) -> Any:
    """Postgres takes no NUL in text; a model may well write one."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value
