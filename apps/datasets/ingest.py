"""Datasets that a job wrote become versions. Runs inside ingest's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from apps.datasets.services.writing import Written, add_version
from engine.events import Event

if TYPE_CHECKING:
    from apps.runs.ingest import IngestContext


def store_datasets(ctx: IngestContext, events: Sequence[Event]) -> None:
    """Make a version of each announced file (plain JSONL); the same content changes nothing."""
    for event in events:
        data, file = event.data, event.data["file"]
        dataset = add_version(
            project=ctx.run.project,
            name=data["name"][:200],
            written=Written(file["sha256"], file["size"], ctx.store_file(file)),
            worlds=(),
            source="job",
            words=f"Written by run {ctx.run.pk}.",
            statistics=data["statistics"],
            n_records=data["n_records"],
            run=ctx.run,
            created_by=ctx.run.created_by,
        )
        ctx.note(event, dataset_id=dataset.pk)
