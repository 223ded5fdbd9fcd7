"""All reads of Synth's files and jobs. A run that was launched elsewhere is a job too, by its
`job_id`: it comes as a SynthJob that is not stored. What happened in a job: `events.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q, QuerySet

from apps.accounts.errors import Refused, not_found
from apps.accounts.models import Project
from apps.checkpoints.models import Checkpoint
from apps.launch.models import Stage
from apps.runs.models import Run, RunState
from apps.runs.paging import check_limit
from apps.synth.models import SynthFile, SynthJob

# Our states of a run in Synth's words.
STATUS = {
    RunState.DRAFT: "queued",
    RunState.QUEUED: "queued",
    RunState.RUNNING: "running",
    RunState.CANCELLING: "running",
    RunState.SUCCEEDED: "succeeded",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "cancelled",
}
STATUSES = tuple(dict.fromkeys(STATUS.values()))
TRAINS = ("sft", "rl")
OVER = ("succeeded", "failed", "cancelled")


def find_file(*, project: Project, file_id: str) -> SynthFile:
    """Raises Refused(404)."""
    rows = SynthFile.objects.select_related("dataset")
    file = rows.filter(project=project, file_id=_plain(file_id)).first()
    if file is None:
        raise not_found("file", _plain(file_id)[:60])
    return file


def list_files(
    *, project: Project, purpose: str = "", after: str = "", limit: int = 20
) -> list[SynthFile]:
    """At most limit + 1 files, newest first, behind the file `after`."""
    rows = SynthFile.objects.filter(project=project).order_by("-id").select_related("dataset")
    if purpose:
        rows = rows.filter(purpose=_plain(purpose))
    if after:
        rows = rows.filter(pk__lt=find_file(project=project, file_id=after).pk)
    return list(rows[: check_limit(limit) + 1])


def find_job(*, project: Project, job_id: str) -> SynthJob:
    """A job by its id, or the run with that id as a job. Raises Refused(404)."""
    job_id = _plain(job_id)
    job = _jobs(project).filter(job_id=job_id).first()
    if job is not None:
        return job
    run = Run.objects.filter(project=project, job_id=job_id).first()
    if run is None:
        raise not_found("job", job_id[:60])
    return job_of_run(run)


def job_of_run(run: Run) -> SynthJob:
    """A run that no client of Synth's made, as one of its jobs; not stored."""
    return SynthJob(
        job_id=run.job_id,
        project_id=run.project_id,
        kind=run.kind,
        model=run.inputs.get("base", {}).get("base_model") or run.model,
        run=run,
        hyperparameters=run.resolved.get("hyperparameters"),
        created_at=run.created_at,
    )


def list_jobs(
    *,
    project: Project,
    kind: str,
    status: str = "",
    model: str = "",
    file_id: str = "",
    created_after: int | None = None,
    created_before: int | None = None,
    after: str = "",
    limit: int = 20,
) -> list[SynthJob]:
    """At most limit + 1 jobs of a kind, newest first. Raises Refused(422) for a wrong filter."""
    rows = _jobs(project).filter(kind=kind).order_by("-id")
    if status:
        rows = rows.filter(_with_status(status))
    if model:
        rows = rows.filter(model=_plain(model))
    if file_id:
        rows = rows.filter(training_file=_plain(file_id))
    if created_after is not None:
        rows = rows.filter(created_at__gt=_moment(created_after))
    if created_before is not None:
        rows = rows.filter(created_at__lt=_moment(created_before))
    if after:
        job = find_job(project=project, job_id=after)
        rows = rows.filter(pk__lt=job.pk or 0)
    return list(rows[: check_limit(limit) + 1])


def runs_of(job: SynthJob) -> list[Run]:
    """The runs of a job in their order; the last one trains the model that was asked for."""
    if job.pipeline_id is not None:
        rows = Stage.objects.filter(pipeline=job.pipeline_id, run__isnull=False)
        return [s.run for s in rows.order_by("index").select_related("run") if s.run is not None]
    return [job.run] if job.run is not None else []


def status_of(job: SynthJob) -> str:
    """The state of a job in Synth's words."""
    if job.pipeline is not None:
        return str(job.pipeline.state)
    if job.run is not None:
        return STATUS[RunState(job.run.state)]
    return "cancelled" if job.cancelled_at else "queued"


def error_of(job: SynthJob) -> str | None:
    """Why a job failed, in words."""
    error = job.pipeline.error if job.pipeline else job.run.error if job.run else None
    if not error:
        return None
    return f"{error.get('message', '')} {error.get('hint', '')}".strip()


def model_of(runs: Sequence[Run]) -> Checkpoint | None:
    """The published checkpoint that a job's runs made; None until it can be used."""
    done = [run.pk for run in runs if run.state == RunState.SUCCEEDED and run.kind in TRAINS]
    rows = Checkpoint.objects.filter(run__in=done, final=True, deleted_at=None)
    return rows.order_by("-id").first()


def list_models(
    *,
    project: Project,
    kinds: Collection[str] = (),
    base_model: str = "",
    after: str = "",
    limit: int = 20,
) -> list[Checkpoint]:
    """At most limit + 1 published checkpoints, newest first; all kinds where none is named."""
    rows = _models(project).order_by("-id")
    if kinds:
        rows = rows.filter(kind__in=[_plain(kind) for kind in kinds])
    if base_model:
        rows = rows.filter(base_model=_plain(base_model))
    if after:
        rows = rows.filter(pk__lt=find_published(project=project, model_id=after).pk)
    return list(rows[: check_limit(limit) + 1])


def find_published(*, project: Project, model_id: str) -> Checkpoint:
    """A published checkpoint by its model id or its address. Raises Refused(404)."""
    field = "uid" if model_id.startswith("ck_") else "model_id"
    row = _models(project).filter(**{field: _plain(model_id)}).first()
    if row is None:
        raise not_found("model", _plain(model_id)[:200])
    return row


def jobs_of_model(*, project: Project, model_id: str, limit: int = 20) -> list[SynthJob]:
    """Jobs that made a model or trained on from it, newest first."""
    model = find_published(project=project, model_id=model_id)
    after = Q(input_rows__kind="checkpoint", input_rows__object_id=model.pk)
    made = Q(pk=model.run_id) if model.run_id else Q(pk=None)
    rows = Run.objects.filter(after | made, project=project, kind__in=("sft", "rl")).distinct()
    runs = list(rows.order_by("-id")[: check_limit(limit)])
    known = {job.run_id: job for job in _jobs(project).filter(run__in=runs)}
    return [known.get(run.pk) or job_of_run(run) for run in runs]


def _models(project: Project) -> QuerySet[Checkpoint]:
    rows = Checkpoint.objects.filter(project=project, final=True, deleted_at=None)
    return rows.select_related("run")


def _jobs(project: Project) -> QuerySet[SynthJob]:
    rows = SynthJob.objects.filter(project=project)
    return rows.select_related("run", "pipeline", "project")


def _with_status(status: str) -> Q:
    if status not in STATUSES:
        words = ", ".join(STATUSES)
        raise Refused("bad_status", f"status is one of {words}.", status=422)
    states = [state for state, word in STATUS.items() if word == status]
    waiting = {"queued": Q(cancelled_at=None), "cancelled": Q(cancelled_at__isnull=False)}
    found = Q(run__state__in=states) | Q(pipeline__state=status)
    if status in waiting:
        found |= Q(run=None, pipeline=None) & waiting[status]
    return found


def _moment(epoch_s: int) -> datetime:
    """Raises Refused(422) for a number that is no moment."""
    try:
        return datetime.fromtimestamp(epoch_s, tz=UTC)
    except (ValueError, OverflowError, OSError) as err:
        raise Refused("bad_time", f"{epoch_s} is no time in seconds.", status=422) from err


def _plain(text: str) -> str:
    """Without NUL, which no database takes."""
    return text.replace("\0", "")


def epoch_of(moment: datetime | None) -> int | None:
    """Whole seconds, as Synth's clients read times."""
    return int(moment.timestamp()) if moment else None


def row_of(job: SynthJob) -> dict[str, Any]:
    """A job as clients read it."""
    runs = runs_of(job)
    last = runs[-1] if runs else None
    model = model_of(runs)
    base = last.inputs.get("base", {}) if last else {}
    linked = last.job_id if last and last.job_id != job.job_id else None
    return {
        "id": job.job_id,
        "job_id": job.job_id,
        "object": "job",
        "job_type": job.kind,
        "status": status_of(job),
        "model": job.model,
        "base_model_resolved": base.get("base_model_resolved"),
        "created_at": epoch_of(job.created_at),
        "started_at": epoch_of(runs[0].started_at) if runs else None,
        "finished_at": epoch_of(last.ended_at) if last else None,
        "fine_tuned_model": model.model_id if model and status_of(job) == "succeeded" else None,
        "error": error_of(job),
        "warnings": list(last.warnings) if last else [],
        "linked_job_id": linked,
        "training_file_id": job.training_file or None,
        "hyperparameters": job.hyperparameters,
        "metadata": job.metadata,
        "run": last.pk if last else None,
    }
