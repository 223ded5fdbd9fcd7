"""Launching: a stored config becomes a run with everything frozen, and is queued."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from apps.accounts.errors import Refused
from apps.accounts.models import Role
from apps.accounts.queries import Actor
from apps.accounts.services import record
from apps.launch.models import Pipeline
from apps.launch.services.configs import load_stored, with_sets
from apps.launch.services.generators import check_generator
from apps.launch.services.imports import KIND as IMPORT_KIND
from apps.launch.services.imports import request_model
from apps.launch.services.pipelines import start_pipeline
from apps.launch.services.plans import RunPlan, freeze, make_run, models_of, plan_run
from apps.launch.services.probing import check_task_app
from apps.launch.services.starters import missing_starters
from apps.runs.models import Config, Need, Run
from apps.runs.services import ShardPlan, fail_draft, queue_run
from apps.traces.models import Episode
from engine.config import Loaded, apply_sets, load_json


def launch(
    *,
    actor: Actor,
    config: Config,
    sets: Iterable[str] = (),
    name: str = "",
    queue: bool = True,
    priority: int = 5,
) -> Run | Pipeline:
    """Make a run of a config and queue it (`queue=False` leaves it a draft).

    A pipeline config gives a pipeline; so does a run whose starting model has to be made first.
    Every call makes a new one. Raises ConfigErrors for bad `sets`, Refused(422) for names that
    stand for nothing here.
    """
    actor.require(Role.EDITOR)
    config = with_sets(actor=actor, config=config, sets=sets)
    loaded = load_stored(config)
    missing = missing_starters(actor.project, models_of(loaded))
    if loaded.kind in ("pipeline", "dataset") or missing:
        if not queue:
            raise Refused(
                "no_draft",
                "This becomes a pipeline, which has no draft: its config is stored.",
                "Launch the config when it should start.",
                status=409,
            )
        return start_pipeline(actor=actor, config=config, name=name)
    plan = plan_run(project=actor.project, user=actor.user, loaded=loaded)
    check_task_app(actor.project, loaded)
    check_generator(loaded)
    run = make_run(
        project=actor.project,
        user=actor.user,
        plan=plan,
        config=config,
        name=name,
        priority=priority,
    )
    return queue_draft(actor=actor, run=run) if queue else run


def keep_refused(*, actor: Actor, config: Config, model: str, error: Refused) -> Run:
    """A failed run of a config that `launch` refused, for a caller that expects a run: its page and
    its events say why. Every call makes a new one.
    """
    actor.require(Role.EDITOR)
    plan = freeze(load_stored(config))
    plan.name, plan.model = plan.name or config.name, model
    plan.shards = [ShardPlan(Need.TRAIN, total=0)]
    run = make_run(project=actor.project, user=actor.user, plan=plan, config=config)
    record(actor=actor, verb="run.refused", target=f"run:{run.pk}", detail={"code": error.code})
    return fail_draft(run=run, error={"code": error.code, "message": error.message,
                                      "hint": error.hint})  # fmt: skip


def queue_draft(*, actor: Actor, run: Run) -> Run:
    """Queue a draft. Safe twice: a run that is queued stays so. Raises Refused(409) otherwise."""
    actor.require(Role.EDITOR)
    record(actor=actor, verb="run.launched", target=f"run:{run.pk}")
    return queue_run(run=run)


def clone(
    *, actor: Actor, run: Run, sets: Iterable[str] = (), name: str = "", queue: bool = False
) -> Run:
    """A new draft from a run's frozen config, names resolved afresh; its parent is that run.

    Raises as `launch`.
    """
    actor.require(Role.EDITOR)
    if run.kind == IMPORT_KIND:  # it has no config; the name must be free again
        source, revision = (str(run.resolved.get(key, "")) for key in ("source", "revision"))
        return request_model(actor=actor, source=source, name=run.model, revision=revision)
    config = with_sets(actor=actor, config=run.config, sets=sets) if run.config else None
    loaded = load_stored(config) if config else _frozen(run, sets)
    if loaded.kind == "pipeline":  # the run was a stage: what is repeated is the stage
        loaded, config = _frozen(run, sets), run.config
    plan = plan_run(project=actor.project, user=actor.user, loaded=loaded)
    check_task_app(actor.project, loaded)
    check_generator(loaded)
    title = name or f"{run.name} (again)"
    new = make_run(
        project=actor.project,
        user=actor.user,
        plan=plan,
        config=config,
        parent=run,
        name=title,
        priority=run.priority,
    )
    return queue_draft(actor=actor, run=new) if queue else new


def fork(*, actor: Actor, episode: Episode, values: Mapping[str, Any]) -> Run:
    """Queue branches of a game; `values` are keys of a fork's config (step, model, repeats, …).

    Every call makes a new run, the original is never changed. Raises ConfigErrors for bad values,
    Refused(422) for a step or model that is not there.
    """
    actor.require(Role.EDITOR)
    data = {**values, "type": "fork", "trace": episode.pk}
    plan = plan_run(project=actor.project, user=actor.user, loaded=load_json(data))
    name = f"{plan.model} from step {data.get('step', 0)} of trace {episode.pk}"
    run = make_run(
        project=actor.project,
        user=actor.user,
        plan=plan,
        config=None,
        parent=episode.run,
        name=str(values.get("name") or name),
    )
    return queue_draft(actor=actor, run=run)


def dry_run(*, actor: Actor, loaded: Loaded) -> RunPlan:
    """What launching would make, without making anything. Raises Refused(422) as `launch` does."""
    missing = missing_starters(actor.project, models_of(loaded))
    if missing:
        plan = freeze(loaded)
        made = " and ".join(missing)
        plan.warnings.append(f"{made} has not been made yet: launching makes it first.")
        return plan
    return plan_run(project=actor.project, user=actor.user, loaded=loaded, dry=True)


def _frozen(run: Run, sets: Iterable[str]) -> Loaded:
    return load_json(apply_sets(run.resolved, list(sets)), name=run.name)
