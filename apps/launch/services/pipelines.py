"""Pipelines: starting, going on (called by every tick), cancelling, continuing after a failure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction
from django.utils.timezone import now

from apps.accounts.errors import Refused
from apps.accounts.models import Project, Role
from apps.accounts.queries import Actor
from apps.accounts.services import record
from apps.launch.models import Pipeline, PipelineState, Stage, StageState
from apps.launch.services.configs import load_stored
from apps.launch.services.names import find_checkpoint
from apps.launch.services.plans import models_of, plan_run
from apps.launch.services.stages import start_stage, watch_stage
from apps.launch.services.starters import missing_starter, missing_starters, starters
from apps.launch.services.table import make_table
from apps.runs.models import Config, RunState
from apps.runs.services import cancel_run, resume_run
from engine.config import Loaded, StagePlan, apply_sets, load_json
from synthweb import bell

STARTER_STAGE = "starting_model"
_OVER = (StageState.SUCCEEDED, StageState.FAILED, StageState.CANCELLED)


def start_pipeline(*, actor: Actor, config: Config, name: str = "") -> Pipeline:
    """Start the stages of a config; those that need nothing are queued when this returns.

    A config that is no pipeline becomes one of a single stage. If the starting model has not been
    made yet, a first stage makes it. Names that can be resolved now are, so that a pipeline fails
    before anything is played: raises ConfigErrors or Refused(422). Every call starts a new one.
    """
    actor.require(Role.EDITOR)
    loaded = load_stored(config)
    plans = loaded.stages or [_single(loaded)]
    plans = _with_starter(actor.project, plans)
    for plan in plans:
        _check_names(actor, plan)
    with transaction.atomic():
        pipeline = Pipeline.objects.create(
            project=actor.project,
            name=(name or getattr(loaded.config, "name", "") or config.name)[:200],
            config=config,
            created_by=actor.user,
        )
        Stage.objects.bulk_create(
            Stage(
                pipeline=pipeline,
                name=plan.name,
                index=index,
                kind=plan.kind,
                data=plan.data,
                needs=list(plan.needs),
            )
            for index, plan in enumerate(plans)
        )
        record(actor=actor, verb="pipeline.started", target=f"pipeline:{pipeline.pk}")
    advance_pipeline(pipeline)
    return pipeline


def advance_pipelines() -> int:
    """Bring every running pipeline as far as it can go; how many there are. For the tick.

    Safe at any time and by any number at once: each step is one conditional UPDATE.
    """
    rows = Pipeline.objects.filter(state=PipelineState.RUNNING).order_by("id")
    pipelines = list(rows.select_related("project", "config", "created_by"))
    for pipeline in pipelines:
        advance_pipeline(pipeline)
    return len(pipelines)


def advance_pipeline(pipeline: Pipeline) -> None:
    """See which stages ended, start what may start, and end the pipeline when nothing is left."""
    for stage in _stages(pipeline):
        if stage.state == StageState.RUNNING:
            watch_stage(stage)
    stages = {stage.name: stage for stage in _stages(pipeline)}
    started = False
    for stage in stages.values():
        needs = [stages[name] for name in stage.needs]
        ready = all(need.state == StageState.SUCCEEDED for need in needs)
        if stage.state == StageState.WAITING and ready:
            stage.pipeline = pipeline
            started |= start_stage(stage, stages)
    if started:
        bell.ring("pages:pipelines")
        stages = {stage.name: stage for stage in _stages(pipeline)}
    _end_if_over(pipeline, list(stages.values()))


def cancel_pipeline(*, actor: Actor, pipeline: Pipeline) -> Pipeline:
    """Stop a pipeline and what it has running; what has ended is kept. Safe twice."""
    actor.require(Role.EDITOR)
    changed = Pipeline.objects.filter(pk=pipeline.pk, state=PipelineState.RUNNING).update(
        state=PipelineState.CANCELLED, ended_at=now()
    )
    pipeline.refresh_from_db()
    if not changed and pipeline.state != PipelineState.CANCELLED:
        message = f"Pipeline {pipeline.pk} cannot be cancelled: it {pipeline.state} already."
        raise Refused("wrong_state", message, status=409)
    for stage in _stages(pipeline):
        if stage.state in _OVER:
            continue
        Stage.objects.filter(pk=stage.pk).exclude(state__in=_OVER).update(
            state=StageState.CANCELLED, ended_at=now()
        )
        stage.refresh_from_db(fields=["run"])  # a tick may have started it since it was read
        if stage.run is not None and stage.run.state in (RunState.QUEUED, RunState.RUNNING):
            cancel_run(run=stage.run, actor=actor)
    if changed:
        record(actor=actor, verb="pipeline.cancelled", target=f"pipeline:{pipeline.pk}")
        bell.ring("pages:pipelines")
    return pipeline


def continue_pipeline(
    *, actor: Actor, pipeline: Pipeline, stage: str = "", sets: Iterable[str] = ()
) -> Pipeline:
    """Go on after a failure: what succeeded is kept, what failed is tried again.

    With `stage` and `sets` that stage's config is mended first and it gets a new run; else a failed
    run is resumed from where it was. Safe twice: a running pipeline stays as it is. Raises
    Refused(409) for one that succeeded, ConfigErrors for a mend that is none.
    """
    actor.require(Role.EDITOR)
    mended = _mend(pipeline, stage, list(sets)) if stage else None
    with transaction.atomic():
        row = Pipeline.objects.select_for_update().get(pk=pipeline.pk)
        if row.state == PipelineState.RUNNING:
            return row
        if row.state == PipelineState.SUCCEEDED:
            raise Refused("wrong_state", f"Pipeline {row.pk} succeeded already.", status=409)
        Pipeline.objects.filter(pk=row.pk).update(
            state=PipelineState.RUNNING, error=None, ended_at=None
        )
        for failed in _stages(row):
            if failed.state in (StageState.FAILED, StageState.CANCELLED):
                _try_again(actor, failed, mended if failed.name == stage else None)
        record(actor=actor, verb="pipeline.continued", target=f"pipeline:{row.pk}")
    row.refresh_from_db()
    advance_pipeline(row)
    return row


def _try_again(actor: Actor, stage: Stage, mended: dict[str, Any] | None) -> None:
    changes: dict[str, Any] = {"error": None, "ended_at": None}
    run = stage.run
    if mended is not None:
        changes |= {"state": StageState.WAITING, "run": None, "data": mended}
    elif run is not None and run.state in (RunState.FAILED, RunState.CANCELLED):
        resume_run(run=run, actor=actor)
        changes |= {"state": StageState.RUNNING}
    elif run is not None:
        changes |= {"state": StageState.RUNNING}
    else:
        changes |= {"state": StageState.WAITING}
    Stage.objects.filter(pk=stage.pk).update(**changes)


def _mend(pipeline: Pipeline, name: str, sets: list[str]) -> dict[str, Any]:
    stage = Stage.objects.filter(pipeline=pipeline, name=name).first()
    if stage is None or stage.state == StageState.SUCCEEDED:
        message = f"Pipeline {pipeline.pk} has no failed stage {name!r}."
        raise Refused("no_stage", message, status=422)
    data = apply_sets(stage.data, sets)
    load_json(data, name=f"stage {name}")
    return data


def _stages(pipeline: Pipeline) -> list[Stage]:
    rows = Stage.objects.filter(pipeline=pipeline).order_by("index")
    return list(rows.select_related("run", "dataset"))


def _single(loaded: Loaded) -> StagePlan:
    return StagePlan("run" if loaded.kind != "dataset" else "data", loaded.kind, loaded.data, ())


def _with_starter(project: Project, plans: Sequence[StagePlan]) -> list[StagePlan]:
    """The stages, with those in front that make the starting models which they need."""
    if any(plan.kind == "base" for plan in plans):
        return list(plans)
    wanted = {plan.name: _missing_starters(project, plan) for plan in plans}
    missing = sorted({model for models in wanted.values() for model in models})
    stages = {
        model: STARTER_STAGE + (f"_{index}" if index > 1 else "")
        for index, model in enumerate(missing, start=1)
    }
    makers = [StagePlan(stages[model], "base", starters()[model], ()) for model in missing]
    for plan in plans:
        first = tuple(stages[model] for model in wanted[plan.name])
        makers.append(StagePlan(plan.name, plan.kind, plan.data, (*first, *plan.needs)))
    return makers


def _missing_starters(project: Project, plan: StagePlan) -> list[str]:
    return missing_starters(project, models_of(load_json(plan.data, name=plan.name)))


def _check_names(actor: Actor, plan: StagePlan) -> None:
    """Resolve what does not depend on another stage, so that a wrong name is told at once."""
    loaded = load_json(plan.data, name=f"stage {plan.name}")
    for model in models_of(loaded):
        if not missing_starter(actor.project, model):
            find_checkpoint(actor.project, model)
    if plan.needs or plan.kind in ("dataset", "base"):
        return
    plan_run(project=actor.project, user=actor.user, loaded=loaded)


def _end_if_over(pipeline: Pipeline, stages: list[Stage]) -> None:
    states = {stage.state for stage in stages}
    if StageState.RUNNING in states:
        return
    failed = [s for s in stages if s.state in (StageState.FAILED, StageState.CANCELLED)]
    if StageState.WAITING in states and not failed:
        return
    changes: dict[str, Any] = {"state": PipelineState.SUCCEEDED, "ended_at": now()}
    if failed:
        changes["state"] = PipelineState.FAILED
        changes["error"] = _why(failed[0])
    changes["result"] = make_table(pipeline, stages)
    if Pipeline.objects.filter(pk=pipeline.pk, state=PipelineState.RUNNING).update(**changes):
        bell.ring("pages:pipelines")


def _why(stage: Stage) -> dict[str, str]:
    reason = (stage.error or {}).get("message") or "no reason was given."
    return {
        "code": "stage_failed",
        "message": f"Stage {stage.name} {stage.state}: {reason}",
        "hint": "Mend it and continue the pipeline; what succeeded is kept.",
    }
