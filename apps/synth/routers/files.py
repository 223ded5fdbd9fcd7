"""Files: what trainings learn from, at `/files` and the same at `/learning/files`."""

from __future__ import annotations

from typing import Any, BinaryIO, cast

from django.http import HttpRequest
from django.http.multipartparser import MultiPartParserError
from ninja import Router

from apps.accounts.errors import Refused
from apps.accounts.models import Role
from apps.api.auth import actor_of
from apps.datasets.services.uploading import MAX_BYTES
from apps.synth import queries, services
from apps.synth.lists import listed
from apps.synth.models import SynthFile

router = Router(tags=["files"])
OVERHEAD = 1024 * 1024  # of the form around a file


def row_of(file: SynthFile) -> dict[str, Any]:
    """A file as clients read it."""
    return {
        "id": file.file_id,
        "object": "file",
        "purpose": file.purpose,
        "filename": file.filename,
        "bytes": file.size_bytes,
        "status": "ready" if file.dataset_id else "deleted",
        "created_at": queries.epoch_of(file.created_at),
        "dataset": file.dataset_id,
    }


@router.post("/files", operation_id="upload_file")
@router.post("/learning/files", operation_id="upload_learning_file")
def upload(request: HttpRequest) -> dict[str, Any]:
    """A form with `purpose` and `file`; the file is read line by line and becomes a dataset."""
    actor = actor_of(request)
    actor.require(Role.EDITOR)
    _check_length(request)
    try:
        sent, form = request.FILES.get("file"), request.POST
    except MultiPartParserError as err:
        raise Refused("bad_form", f"The form cannot be read: {err}", status=400) from err
    if sent is None:
        raise Refused("no_file", "The form has no `file`.", "Send multipart/form-data.", status=422)
    file = services.store_file(
        actor=actor,
        name=str(sent.name or ""),
        size=sent.size or 0,
        purpose=str(form.get("purpose", "")),
        file=cast(BinaryIO, sent),
    )
    return row_of(file)


def _check_length(request: HttpRequest) -> None:
    """Refuse a form that is too large before it is spooled to disk. Raises Refused(413)."""
    length = str(request.META.get("CONTENT_LENGTH") or "0")
    if length.isdigit() and int(length) > MAX_BYTES + OVERHEAD:
        raise Refused(
            "too_large", f"A file has at most {MAX_BYTES // 2**20} MiB.", "Cut it.", status=413
        )


@router.get("/files", operation_id="list_files")
@router.get("/learning/files", operation_id="list_learning_files")
def list_files(
    request: HttpRequest, purpose: str = "", after: str = "", limit: int = 20
) -> dict[str, Any]:
    """Files, newest first."""
    rows = queries.list_files(
        project=actor_of(request).project, purpose=purpose, after=after, limit=limit
    )
    return listed([row_of(row) for row in rows], limit)


@router.get("/files/{file_id}", operation_id="get_file")
@router.get("/learning/files/{file_id}", operation_id="get_learning_file")
def get_file(request: HttpRequest, file_id: str) -> dict[str, Any]:
    """One file."""
    return row_of(queries.find_file(project=actor_of(request).project, file_id=file_id))


@router.delete("/files/{file_id}", operation_id="delete_file")
@router.delete("/learning/files/{file_id}", operation_id="delete_learning_file")
def delete_file(request: HttpRequest, file_id: str) -> dict[str, Any]:
    """Forget a file's name; its dataset stays on the dashboard."""
    actor = actor_of(request)
    file = queries.find_file(project=actor.project, file_id=file_id)
    services.delete_file(actor=actor, file=file)
    return {"id": file.file_id, "object": "file", "deleted": True}


@router.get("/files/{file_id}/jobs", operation_id="list_file_jobs")
@router.get("/learning/files/{file_id}/jobs", operation_id="list_learning_file_jobs")
def list_jobs(
    request: HttpRequest, file_id: str, after: str = "", limit: int = 20
) -> dict[str, Any]:
    """The jobs that train on a file, newest first."""
    project = actor_of(request).project
    file = queries.find_file(project=project, file_id=file_id)
    jobs = queries.list_jobs(
        project=project, kind="sft", file_id=file.file_id, after=after, limit=limit
    )
    return listed([queries.row_of(job) for job in jobs], limit)
