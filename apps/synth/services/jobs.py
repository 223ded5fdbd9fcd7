"""All writes of Synth's files and jobs: each is a dataset, a run or a pipeline of ours, made by the
services that the pages use. What clients send is read in `bodies.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, BinaryIO

from django.db import transaction
from django.utils.timezone import now

from apps.accounts.errors import Refused
from apps.accounts.models import Role
from apps.accounts.queries import Actor
from apps.accounts.services import record
from apps.datasets.models import Dataset
from apps.datasets.services import upload_dataset
from apps.launch import services as launching
from apps.launch.models import Pipeline
from apps.launch.services.names import find_checkpoint
from apps.launch.services.starters import missing_starter
from apps.runs.models import Config, Run, RunState
from apps.runs.services import cancel_run
from apps.synth import queries
from apps.synth.bodies import RlBody, SftBody
from apps.synth.models import SynthFile, SynthJob, new_job_id

# Refusals that the client can mend at once; any other ends the job as failed, with that reason.
MENDABLE = ("unknown_model", "forbidden", "unknown_dataset", "no_data", "cannot_fit")


def store_file(*, actor: Actor, name: str, size: int, purpose: str, file: BinaryIO) -> SynthFile:
    """Make a dataset of an upload. Raises Refused: 422 with the wrong lines, 413 too large.

    Every call makes a new file; the same content is the same dataset.
    """
    actor.require(Role.EDITOR)
    title = PurePath(name.replace("\0", "")).name[:200] or "upload.jsonl"
    dataset = upload_dataset(
        project=actor.project, user=actor.user, name=title.removesuffix(".jsonl"), file=file
    )
    record(actor=actor, verb="dataset.uploaded", target=f"dataset:{dataset.pk}")
    return SynthFile.objects.create(
        project=actor.project,
        dataset=dataset,
        purpose=purpose.replace("\0", "")[:60] or "fine-tune",
        filename=title,
        size_bytes=size,
        created_by=actor.user,
    )


def delete_file(*, actor: Actor, file: SynthFile) -> None:
    """Forget a file's name; the dataset stays, as long as nobody deletes it on its page."""
    actor.require(Role.EDITOR)
    with transaction.atomic():
        SynthFile.objects.filter(pk=file.pk).delete()
        record(actor=actor, verb="file.deleted", target=f"file:{file.file_id}")


def create_sft_job(*, actor: Actor, wanted: SftBody) -> SynthJob:
    """A fine-tuning that waits for its start. Every call makes a new one.

    Raises Refused: 404 unknown file, 422 a model that cannot be trained here; ConfigErrors.
    """
    actor.require(Role.EDITOR)
    data = {**wanted.data, "tags": {"source": "synth-api"}}
    training = _dataset(actor, wanted.training_file)
    data["job"] = {**data["job"], "data": f"dataset:{training.pk}"}
    if wanted.validation_file:
        validation = _dataset(actor, wanted.validation_file)
        data["data"] = {**data["data"], "validation_path": f"dataset:{validation.pk}"}
    name = wanted.name or f"{wanted.model.rpartition('/')[2]} on {training.name}"
    data["name"] = name[:200]
    config = launching.import_data(actor=actor, data=data, name=name.replace("/", "-"))
    run: Run | None = None
    if not missing_starter(actor.project, wanted.model):
        made = launching.launch(actor=actor, config=config, queue=False)
        run = made if isinstance(made, Run) else None
    return SynthJob.objects.create(
        job_id=run.job_id if run else new_job_id(),
        project=actor.project,
        kind="sft",
        model=wanted.model,
        config=config,
        run=run,
        training_file=wanted.training_file,
        hyperparameters=wanted.hyperparameters,
        metadata=wanted.metadata,
    )


def create_rl_job(*, actor: Actor, wanted: RlBody) -> SynthJob:
    """A training from reward; it is queued at once. Every call makes a new one.

    What cannot be launched for a reason that the request cannot mend becomes a failed run with that
    reason. Raises Refused(422) for a model that cannot be trained here; ConfigErrors.
    """
    actor.require(Role.EDITOR)
    if not missing_starter(actor.project, wanted.model):
        find_checkpoint(actor.project, wanted.model)
    name = str(wanted.data["model"].get("label") or f"{wanted.model.rpartition('/')[2]} rl")
    config = launching.import_data(actor=actor, data=wanted.data, name=name.replace("/", "-"))
    try:
        made = launching.launch(actor=actor, config=config)
    except Refused as err:
        if err.code in MENDABLE:
            raise
        made = launching.keep_refused(actor=actor, config=config, model=wanted.model, error=err)
    return _kept(actor, "rl", wanted.model, config, made, wanted.metadata)


def start_job(*, actor: Actor, job: SynthJob) -> SynthJob:
    """Queue a job that waits for it. Safe twice: a job that was started stays as it is."""
    actor.require(Role.EDITOR)
    launching.code_version()  # asks git once a process: not while the database is locked
    with transaction.atomic():
        if job.pk is not None:
            job = SynthJob.objects.select_for_update().get(pk=job.pk)
        if job.cancelled_at is not None:
            raise Refused("wrong_state", f"Job {job.job_id} was cancelled.", status=409)
        if job.run is not None:
            run = Run.objects.select_for_update().get(pk=job.run.pk)
            if run.state == RunState.DRAFT:
                launching.queue_draft(actor=actor, run=run)
        elif job.pipeline is None and job.config is not None:
            made = launching.launch(actor=actor, config=job.config)
            changes = _made(made)
            SynthJob.objects.filter(pk=job.pk).update(**changes)
    return queries.find_job(project=actor.project, job_id=job.job_id)


def cancel_job(*, actor: Actor, job: SynthJob) -> SynthJob:
    """Stop a job. Safe twice. Raises Refused(409) for one that ended by itself."""
    actor.require(Role.EDITOR)
    if job.pipeline is not None:
        launching.cancel_pipeline(actor=actor, pipeline=job.pipeline)
    elif job.run is not None:
        cancel_run(run=job.run, actor=actor)
    else:
        SynthJob.objects.filter(pk=job.pk, run=None, pipeline=None, cancelled_at=None).update(
            cancelled_at=now()
        )
    return queries.find_job(project=actor.project, job_id=job.job_id)


def _dataset(actor: Actor, file_id: str) -> Dataset:
    """The dataset of a file. Raises Refused: 404 no such file, 409 its dataset was deleted."""
    file = queries.find_file(project=actor.project, file_id=file_id)
    if file.dataset is None:
        raise Refused(
            "file_gone", f"The data of {file_id} was deleted.", "Upload it again.", status=409
        )
    return file.dataset


def _kept(
    actor: Actor,
    kind: str,
    model: str,
    config: Config,
    made: Run | Pipeline,
    metadata: Mapping[str, Any],
) -> SynthJob:
    return SynthJob.objects.create(
        job_id=made.job_id if isinstance(made, Run) else new_job_id(),
        project=actor.project,
        kind=kind,
        model=model,
        config=config,
        metadata=dict(metadata),
        **_made(made),
    )


def _made(made: Run | Pipeline) -> dict[str, Run | Pipeline]:
    return {"run": made} if isinstance(made, Run) else {"pipeline": made}
