"""Checkpoints: list, read, serve, stop, download, delete."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header
from ninja import Router, Schema, Status

from apps.accounts.queries import Actor
from apps.api.auth import actor_of
from apps.api.shapes import Listed, RowId, RunDetailOut
from apps.checkpoints import queries, services
from apps.checkpoints.archive import zip_checkpoint
from apps.checkpoints.card import list_downloads, model_card, open_download
from apps.checkpoints.models import CheckpointFile
from apps.checkpoints.queries import CheckpointRow
from apps.launch.services import request_model
from apps.runs import queries as run_queries
from apps.runs.models import RunInput

router = Router(tags=["checkpoints"])


class CheckpointOut(Schema):
    """A checkpoint; `model_id` is what the next config names."""

    id: str
    model_id: str
    kind: str
    method: str
    base: str | None
    base_model: str
    base_model_resolved: str
    run: int | None
    dataset: int | None
    step: int
    final: bool
    metrics: dict[str, Any]
    scores: list[dict[str, Any]]
    serving: str
    serving_error: str
    size_bytes: int
    created_at: datetime
    links: dict[str, str]

    @classmethod
    def of(cls, row: CheckpointRow) -> dict[str, Any]:
        names = ("model_id", "kind", "method", "base_model", "base_model_resolved", "step")
        more = ("final", "metrics", "size_bytes", "created_at")
        found = row.checkpoint
        base = f"/api/v1/checkpoints/{found.uid}"
        return {
            **{name: getattr(found, name) for name in (*names, *more)},
            "id": found.uid,
            "base": found.base.uid if found.base else None,
            "run": found.run_id,
            "dataset": _dataset_of(found.run_id),
            "scores": [{**s._asdict(), "main": s.main._asdict()} for s in row.scores],
            "serving": row.serving,
            "serving_error": row.serving_error,
            "links": {"self": base, "page": f"/checkpoints/{found.uid}/"},
        }


def _dataset_of(run_id: int | None) -> int | None:
    """The dataset that the run was trained on."""
    if run_id is None:
        return None
    rows = RunInput.objects.filter(run_id=run_id, kind="dataset")
    return rows.values_list("object_id", flat=True).first()


@router.get("/checkpoints", response=Listed[CheckpointOut])
def list_checkpoints(
    request: HttpRequest,
    kind: str | None = None,
    run: RowId | None = None,
    all_steps: bool = False,
    cursor: str | None = None,
    limit: int = 50,
) -> dict[str, Any]:
    """Checkpoints, newest first; `all_steps` also lists those that only serve resume."""
    page = queries.list_checkpoints(
        project=actor_of(request).project,
        kind=kind,
        run=run,
        all_steps=all_steps,
        cursor=cursor,
        limit=limit,
    )
    return {"items": [CheckpointOut.of(row) for row in page.items], "next": page.next}


class ImportIn(Schema):
    """A model from outside. name: the id that configs will use; without one, that of the hub."""

    source: str
    name: str = ""
    revision: str = ""


@router.post("/checkpoints/import", response={202: RunDetailOut})
def import_model(request: HttpRequest, body: ImportIn) -> Status[dict[str, Any]]:
    """Import a Hugging Face model: a hub id, or a folder or GGUF file below SYNTHWEB_BASE_MODELS.

    A run does it (202); its checkpoint can then be named as `model` everywhere.
    """
    actor = actor_of(request)
    run = request_model(actor=actor, source=body.source, name=body.name, revision=body.revision)
    found = run_queries.get_run(project=actor.project, run_id=run.pk)
    return Status(202, RunDetailOut.of(found))


@router.get("/checkpoints/{uid}")
def get_checkpoint(request: HttpRequest, uid: str) -> dict[str, Any]:
    """One checkpoint with its files and its model card."""
    actor = actor_of(request)
    found = queries.get_checkpoint(project=actor.project, uid=uid).checkpoint
    names = ("path", "sha256", "size")
    files = [{n: getattr(file, n) for n in names} for file in list_downloads(found)]
    return {**_answer(actor, uid), "files": files, "card": model_card(found)}


@router.get("/checkpoints/{uid}/files/{path:path}")
def download_file(request: HttpRequest, uid: str, path: str) -> StreamingHttpResponse:
    """One file of a checkpoint, streamed."""
    file = queries.get_file(project=actor_of(request).project, uid=uid, path=path)
    return stream_file(file)


@router.get("/checkpoints/{uid}/archive")
def download_archive(request: HttpRequest, uid: str) -> StreamingHttpResponse:
    """All files of a checkpoint as one zip, streamed."""
    found = queries.get_checkpoint(project=actor_of(request).project, uid=uid).checkpoint
    response = StreamingHttpResponse(zip_checkpoint(found), content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{found.uid}.zip"'
    return response


@router.post("/checkpoints/{uid}/serve")
def serve_checkpoint(request: HttpRequest, uid: str) -> dict[str, Any]:
    """Load it into the model server now, so that the first call does not wait."""
    actor = actor_of(request)
    row = queries.get_checkpoint(project=actor.project, uid=uid)
    services.request_serve(actor=actor, checkpoint=row.checkpoint)
    return _answer(actor, uid)


@router.post("/checkpoints/{uid}/stop")
def stop_checkpoint(request: HttpRequest, uid: str) -> dict[str, Any]:
    """Unload it; the next call loads it again."""
    actor = actor_of(request)
    row = queries.get_checkpoint(project=actor.project, uid=uid)
    services.request_stop(actor=actor, checkpoint=row.checkpoint)
    return _answer(actor, uid)


@router.delete("/checkpoints/{uid}", response={204: None})
def delete_checkpoint(request: HttpRequest, uid: str) -> Status[None]:
    """Delete a checkpoint's files; its name stays in the lineage of what was made from it."""
    actor = actor_of(request)
    row = queries.get_checkpoint(project=actor.project, uid=uid)
    services.delete_checkpoint(actor=actor, checkpoint=row.checkpoint)
    return Status(204, None)


def stream_file(file: CheckpointFile) -> StreamingHttpResponse:
    """A stored file as a download under its own name."""
    content, size = open_download(file)
    response = StreamingHttpResponse(content)
    response["Content-Type"] = "application/octet-stream"
    response["Content-Length"] = str(size)
    name = "".join(c for c in file.path.rpartition("/")[2] if c.isprintable())
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    response["ETag"] = f'"{file.sha256}"'
    return response


def _answer(actor: Actor, uid: str) -> dict[str, Any]:
    row = queries.get_checkpoint(project=actor.project, uid=uid)
    return CheckpointOut(**CheckpointOut.of(row)).dict()
