"""Announced checkpoints become rows with their files. Runs inside ingest's transaction.

The same checkpoint announced by a later attempt takes the place of the earlier one's files: the
row, its address and its model id stay.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from apps.checkpoints.models import Checkpoint, CheckpointFile
from apps.checkpoints.seeds import SeedRanges, merge_ranges, ranges_of
from apps.checkpoints.services.resume import keep_newest
from apps.runs.models import Run
from engine.errors import StorageError
from engine.events import Event
from synthweb.bell import ring

if TYPE_CHECKING:
    from apps.runs.ingest import IngestContext

# What a published checkpoint may hold: weights without code, and text. Never a pickle.
PUBLISHED = frozenset((".safetensors", ".json", ".jinja", ".txt", ".md", ".model"))
MAX_FILES = 1000
ADAPTER_CONFIG = "adapter_config.json"  # its presence makes a folder an adapter: engine/train
NAMED = ("base", "import")  # their runs give them their ids: nothing was trained from another
PREFIXES = {"full": "ft", "lora": "ft", "qlora": "qft"}

# Rooms above say which worlds a run's other inputs hold: the datasets register here.
SEED_SOURCES: list[Callable[[Run], SeedRanges]] = []


def store_checkpoints(ctx: IngestContext, events: Sequence[Event]) -> None:
    """Make or renew the row of each announced checkpoint."""
    for event in events:
        checkpoint = _store(ctx, event.data)
        if not checkpoint.final:
            keep_newest(ctx.run)
        ctx.note(event, checkpoint_id=checkpoint.pk, checkpoint_uid=checkpoint.uid)
    ring("pages:checkpoints")


def _store(ctx: IngestContext, data: Mapping[str, Any]) -> Checkpoint:
    _check_files(data)
    run = ctx.run
    base = _base_of(run)
    values = {
        "kind": data["kind"],
        "method": data["method"],
        "base": base,
        "weights": _weights_of(base, data),
        "base_model": _base_model(run, base, data),
        "base_model_resolved": base.base_model_resolved or base.model_id if base else run.model,
        "run": run,
        "step": data["step"],
        "final": data["final"],
        "metrics": data["metrics"],
        "trained_seeds": trained_seeds_of(run, base),
        "size_bytes": sum(file["size"] for file in data["files"]),
    }
    model_id = _free_id(run, _model_id(run, values["base_model"], data))
    checkpoint, made = Checkpoint.objects.get_or_create(
        project_id=run.project_id,
        model_id=model_id,
        defaults={"uid": f"ck_{secrets.token_hex(6)}", **values},
    )
    if not made:
        Checkpoint.objects.filter(pk=checkpoint.pk).update(**values)
        checkpoint.files.all().delete()
    CheckpointFile.objects.bulk_create(
        CheckpointFile(
            checkpoint=checkpoint,
            path=file["path"],
            sha256=file["sha256"],
            size=file["size"],
            storage_key=ctx.store_file(file),
        )
        for file in data["files"]
    )
    return checkpoint


def trained_seeds_of(run: Run, base: Checkpoint | None) -> SeedRanges:
    """Every world that the model saw: its base's, its data's, and those it played in training."""
    parts = [base.trained_seeds] if base else []
    parts += [source(run) for source in SEED_SOURCES]
    if run.kind == "base":
        first, n = run.resolved.get("seeds_start"), run.resolved.get("n_episodes")
        if isinstance(first, int) and isinstance(n, int) and n > 0:
            parts.append([[run.task or run.resolved.get("task", ""), "", [[first, first + n - 1]]]])
    if run.kind == "rl":
        rows = run.episodes.values_list("task", "world_version", "seed")
        parts.append(ranges_of(rows))
    return merge_ranges(*parts)


def _base_of(run: Run) -> Checkpoint | None:
    """The checkpoint that the run was started from, by its frozen inputs."""
    base = run.inputs.get("base")
    checkpoint_id = base.get("checkpoint_id") if isinstance(base, dict) else None
    if checkpoint_id is None:
        return None
    return Checkpoint.objects.filter(project_id=run.project_id, pk=checkpoint_id).first()


def _weights_of(base: Checkpoint | None, data: Mapping[str, Any]) -> Checkpoint | None:
    """The checkpoint whose weights an adapter needs: its base, or that of its base's adapter."""
    if base is None or all(file["path"] != ADAPTER_CONFIG for file in data["files"]):
        return None
    return base.weights or base


def _base_model(run: Run, base: Checkpoint | None, data: Mapping[str, Any]) -> str:
    """The id that the config asked for; it becomes a segment of the new id."""
    asked = run.inputs.get("base", {}).get("base_model") if base else None
    if asked:
        return str(asked)
    if base:
        return base.base_model or base.model_id
    return run.model if data["kind"] in NAMED else ""


def _model_id(run: Run, base_model: str, data: Mapping[str, Any]) -> str:
    """`ft:BASE:job_…`, `:step_N` behind it for one that serves resume; a base has its own name."""
    if data["kind"] in NAMED:
        name = run.model
    else:
        prefix = "rl" if data["kind"] == "rl" else PREFIXES[data["method"]]
        name = f"{prefix}:{base_model}:{run.job_id}"
    return name if data["final"] else f"{name}:step_{data['step']}"


def _free_id(run: Run, model_id: str) -> str:
    """The id, or one with the job behind it when another run has it: no model changes silently."""
    taken = Checkpoint.objects.filter(project_id=run.project_id, model_id=model_id)
    return f"{model_id}:{run.job_id}" if taken.exclude(run=run).exists() else model_id


def _check_files(data: Mapping[str, Any]) -> None:
    """Refuse names that leave the folder, and, in a published one, what could hold code."""
    files = data["files"]
    if not 0 < len(files) <= MAX_FILES:
        raise StorageError(f"A checkpoint of {len(files)} files is not stored.", retryable=False)
    for file in files:
        path = PurePosixPath(file["path"])
        if path.is_absolute() or ".." in path.parts or "\0" in file["path"] or not path.name:
            raise StorageError(
                f"{file['path']!r} leads out of the checkpoint's folder.", retryable=False
            )
        if data["final"] and path.suffix not in PUBLISHED:
            raise StorageError(
                f"{file['path']}: a published checkpoint holds only "
                f"{', '.join(sorted(PUBLISHED))} files.",
                hint="Save weights as safetensors; a pickle is never stored.",
                retryable=False,
            )
