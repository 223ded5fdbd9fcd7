"""The run directory of an attempt: `HOME/runs/<run>/<shard>/<attempt>/` with its `config.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Q

from apps.checkpoints.models import Checkpoint
from apps.checkpoints.services import local_folder
from apps.runs.ingest import Source
from apps.runs.models import Attempt, Event, Run, Shard
from apps.runs.services import Claim
from apps.runs.services.finish import LIVE_SHARDS
from apps.traces.models import Episode
from engine.events import read_events


def directory_of(run_id: int, shard_index: int, number: int) -> Path:
    """Where an attempt works."""
    return Path(settings.RUNS_DIR) / str(run_id) / str(shard_index) / str(number)


def make_directory(claim: Claim, shard: Shard, inputs: dict[str, Any]) -> Path:
    """Make the attempt's directory with its config.json, whole or not at all."""
    run = shard.run
    directory = directory_of(run.pk, shard.index, claim.token)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    config = {
        "run": run.job_id,
        "number": run.pk,
        "shard": shard.index,
        "attempt": claim.token,
        "kind": run.kind,
        "config": run.resolved,
        "inputs": inputs,
        "episodes": shard.episodes,
        "finished": finished_episodes(run, shard),
        "resume": last_checkpoint(run, shard, claim.token),
        "retries": share_of_retries(run),
    }
    staged = directory / ".config.json.part"
    staged.write_text(json.dumps(config, ensure_ascii=False, indent=1))
    os.replace(staged, directory / "config.json")
    name = str(directory.relative_to(settings.RUNS_DIR))
    Attempt.objects.filter(pk=claim.attempt_id).update(directory=name)
    return directory


def finished_episodes(run: Run, shard: Shard) -> list[tuple[int, int]]:
    """(seed, repeat) of the shard's share that need not be played again.

    Cut-off episodes do; broken ones only if they began before somebody asked to play them again.
    """
    share = {(int(e["seed"]), int(e.get("repeat", 0))) for e in shard.episodes}
    stored = Episode.objects.filter(run=run).exclude(ended="cancelled")
    if run.retry_broken_at is not None:
        stored = stored.exclude(Q(broken=True) & Q(started_at__lt=run.retry_broken_at))
    return sorted(set(stored.values_list("seed", "repeat")) & share)


def share_of_retries(run: Run) -> int:
    """How many model calls an attempt that starts now may try again.

    What the run has left, divided among its shards that are not over: together they stay within
    the run's budget, and what one did not need goes to those that start later.
    """
    budget, used = Run.objects.values_list("retry_budget", "retries_used").get(pk=run.pk)
    n_live = Shard.objects.filter(run=run, state__in=LIVE_SHARDS).count()
    return -(-max(0, budget - used) // max(1, n_live))


def broken_shards(run: Run) -> list[int]:
    """Ids of the shards that hold episodes which broke, but were not cut off."""
    broken = Episode.objects.filter(run=run, broken=True, shard__isnull=False)
    return sorted(set(broken.exclude(ended="cancelled").values_list("shard_id", flat=True)))


def last_checkpoint(run: Run, shard: Shard, token: int) -> dict[str, Any] | None:
    """The newest checkpoint that an earlier attempt announced, on this disk: {path, step, files}.

    One that is only in storage (another machine saved it, or the attempts' directories were swept
    before the resume) is fetched. Raises StorageError when that failed.
    """
    local = _left_checkpoint(run, shard, token)
    stored = Checkpoint.objects.filter(run=run, final=False, deleted_at=None)
    newest = stored.order_by("-step", "-id").first()
    if newest is None or (local is not None and local["step"] >= newest.step):
        return local
    files = list(newest.files.values("path", "sha256", "size"))
    return {"path": str(local_folder(newest)), "step": newest.step, "files": files}


def _left_checkpoint(run: Run, shard: Shard, token: int) -> dict[str, Any] | None:
    """The newest one that an earlier attempt left on this machine."""
    announced = Event.objects.filter(run=run, type="checkpoint", attempt__shard=shard)
    if not announced.exists():
        return None
    for number in range(token - 1, 0, -1):
        directory = directory_of(run.pk, shard.index, number)
        for data in reversed(list(_checkpoints(directory))):
            path = directory / data["path"]
            if not data["final"] and path.is_dir():
                return {"path": str(path), "step": data["step"], "files": data["files"]}
    return None


def _checkpoints(directory: Path) -> Iterator[dict[str, Any]]:
    """The checkpoint events of a directory, oldest first."""
    for event, _ in read_events(directory / "events.jsonl"):
        if event.type == "checkpoint":
            yield event.data


def leftovers(shard: Shard, token: int) -> list[Source]:
    """Earlier attempts on this machine that told more than was ingested, oldest first."""
    found = []
    for attempt in Attempt.objects.filter(shard=shard, number__lt=token).order_by("number"):
        directory = directory_of(shard.run_id, shard.index, attempt.number)
        source = Source(attempt.pk, directory)
        if source.path.exists() and source.path.stat().st_size > attempt.ingested_offset:
            found.append(source)
    return found


def told_result(shard: Shard) -> dict[str, Any] | None:
    """The successful result that the previous attempt told before its worker vanished, if any."""
    rows = Attempt.objects.filter(shard=shard, outcome="lost", number=shard.token - 1)
    event = Event.objects.filter(attempt__in=rows, type="result").order_by("-seq").first()
    told = event is not None and event.data.get("ok")
    return event.data if event and told and not n_lost_games(event.attempt_id) else None


def n_lost_games(attempt_id: int | None) -> int:
    """How many games an attempt announced whose files are missing or torn."""
    return Event.objects.filter(attempt=attempt_id, type="log", data__lost="episode").count()
