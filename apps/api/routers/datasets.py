"""Datasets: preview a filter, make a version, upload, read, export."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, BinaryIO, cast

from django.http import HttpRequest, StreamingHttpResponse
from ninja import File, Form, Query, Router, Schema, Status
from ninja.files import UploadedFile

from apps.accounts.models import Role
from apps.accounts.services import record
from apps.api.auth import actor_of
from apps.api.shapes import Listed, RowId, RunDetailOut
from apps.datasets import queries, services
from apps.datasets.difference import compare_datasets, find_sides
from apps.datasets.models import Dataset
from apps.runs import queries as run_queries
from apps.traces.importing import request_upload

router = Router(tags=["datasets"])
SQLITE = b"SQLite format 3\0"


class FilterIn(Schema):
    """Which games become data; the keys are those of a config's dataset section."""

    filter: dict[str, Any] = {}


class DatasetIn(FilterIn):
    """A dataset to make; the same name gets a new version, the same content the same one."""

    name: str


class DatasetOut(Schema):
    """One immutable version."""

    id: int
    name: str
    version: int
    sha256: str
    source: str
    filter: dict[str, Any]
    words: str
    statistics: dict[str, Any]
    n_records: int
    n_episodes: int
    size_bytes: int
    parent: int | None
    run: int | None
    created_at: datetime
    links: dict[str, str]

    @classmethod
    def of(cls, row: Dataset) -> dict[str, Any]:
        without = ("id", "parent", "run", "links")
        plain = {name: getattr(row, name) for name in cls.model_fields if name not in without}
        base = f"/api/v1/datasets/{row.pk}"
        links = {"self": base, "export": f"{base}/export", "page": f"/datasets/{row.pk}/"}
        return {**plain, "id": row.pk, "parent": row.parent_id, "run": row.run_id, "links": links}


class DiffOut(Schema):
    """From `old` to `new`. Records are null where a file is too large to be compared by them."""

    old: DatasetOut
    new: DatasetOut
    n_added: int | None
    n_removed: int | None
    n_kept: int | None
    added: list[dict[str, Any]]  # the first few, as are those removed
    removed: list[dict[str, Any]]
    n_worlds_added: int
    n_worlds_removed: int
    n_worlds_kept: int


@router.get("/datasets", response=Listed[DatasetOut])
def list_datasets(
    request: HttpRequest, name: str | None = None, cursor: str | None = None, limit: int = 50
) -> dict[str, Any]:
    """Datasets, newest first; with `name` all versions of one."""
    page = queries.list_datasets(
        project=actor_of(request).project, name=name, cursor=cursor, limit=limit
    )
    return {"items": [DatasetOut.of(row) for row in page.items], "next": page.next}


@router.post("/datasets/preview")
def preview_dataset(request: HttpRequest, body: FilterIn) -> dict[str, Any]:
    """What a filter would take, without storing anything."""
    found = services.preview(project=actor_of(request).project, filter=body.filter)
    leak = [row._asdict() for row in found.leak]
    return {**found._asdict(), "leak": leak}


@router.post("/datasets", response={201: DatasetOut})
def create_dataset(request: HttpRequest, body: DatasetIn) -> Status[dict[str, Any]]:
    """Make a version of the games that the filter means now."""
    actor = actor_of(request)
    actor.require(Role.EDITOR)
    made = services.create_dataset(
        project=actor.project, user=actor.user, name=body.name, filter=body.filter
    )
    record(actor=actor, verb="dataset.created", target=f"dataset:{made.pk}")
    return Status(201, DatasetOut.of(made))


@router.post("/uploads", response={201: DatasetOut, 202: RunDetailOut})
def upload_file(
    request: HttpRequest, file: File[UploadedFile], name: Form[str] = ""
) -> Status[dict[str, Any]]:
    """A JSONL file of chat records becomes a dataset (201); 422 names the wrong lines.

    A tracing v3 file (SQLite) is imported by a run (202): its sessions become traces.
    """
    actor = actor_of(request)
    actor.require(Role.EDITOR)
    title = name or str(file.name or "").rpartition("/")[2].removesuffix(".jsonl")
    if file.read(16) == SQLITE:
        file.seek(0)
        run = request_upload(actor=actor, upload=file, name=title)
        found = run_queries.get_run(project=actor.project, run_id=run.pk)
        return Status(202, RunDetailOut.of(found))
    file.seek(0)
    made = services.upload_dataset(
        project=actor.project, user=actor.user, name=title, file=cast(BinaryIO, file)
    )
    record(actor=actor, verb="dataset.uploaded", target=f"dataset:{made.pk}")
    return Status(201, DatasetOut.of(made))


@router.get("/datasets/{dataset_id}")
def get_dataset(request: HttpRequest, dataset_id: int) -> dict[str, Any]:
    """One version, the runs that were trained on it, and evals that play on its worlds."""
    found = queries.get_dataset(project=actor_of(request).project, dataset_id=dataset_id)
    return {
        **DatasetOut(**DatasetOut.of(found.dataset)).dict(),
        "versions": [row.pk for row in found.versions],
        "used_by": [run.pk for run in found.runs],
        "leaks": [leak._asdict() for leak in found.leaks],
    }


@router.get("/datasets/{dataset_id}/diff", response=DiffOut)
def diff_dataset(
    request: HttpRequest,
    dataset_id: int,
    other: Annotated[RowId | None, Query(alias="from")] = None,
) -> dict[str, Any]:
    """What changed from dataset `from` (without it: the version before) to this one."""
    project = actor_of(request).project
    old, new = find_sides(project=project, dataset_id=dataset_id, other_id=other)
    found = compare_datasets(old=old, new=new)
    return {**found._asdict(), "old": DatasetOut.of(old), "new": DatasetOut.of(new)}


@router.get("/datasets/{dataset_id}/export")
def export_dataset(
    request: HttpRequest,
    dataset_id: int,
    format: str = "trl",
) -> StreamingHttpResponse:
    """The records as JSONL, streamed: `trl`, `openai` or `synth`."""
    actor = actor_of(request)
    found = queries.get_dataset(project=actor.project, dataset_id=dataset_id).dataset
    lines = queries.export(found, format=format)
    record(actor=actor, verb="dataset.exported", target=f"dataset:{found.pk}")
    response = StreamingHttpResponse(lines, content_type="application/jsonl")
    name = f"dataset-{found.pk}-v{found.version}.{format}.jsonl"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@router.delete("/datasets/{dataset_id}", response={204: None})
def delete_dataset(request: HttpRequest, dataset_id: int) -> Status[None]:
    """Remove a dataset that no run was trained on."""
    actor = actor_of(request)
    found = queries.get_dataset(project=actor.project, dataset_id=dataset_id).dataset
    services.delete_dataset(actor=actor, dataset=found)
    return Status(204, None)
