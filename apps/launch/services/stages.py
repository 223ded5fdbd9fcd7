"""Starting one stage of a pipeline, and seeing how it ended."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, transaction
from django.utils.timezone import now

from apps.accounts.errors import Refused
from apps.checkpoints.models import Checkpoint
from apps.datasets.services import create_dataset
from apps.launch.models import Pipeline, Stage, StageState
from apps.launch.services.generators import check_generator
from apps.launch.services.machine import code_version
from apps.launch.services.plans import make_run, plan_run
from apps.launch.services.probing import check_task_app
from apps.runs.models import RunState
from apps.runs.services import queue_run
from engine.config import DatasetConfig, load_json
from engine.errors import EngineError

log = logging.getLogger(__name__)

# A dataset that is still not there after this long lost its builder; building again is harmless.
BUILD_AGAIN = timedelta(minutes=3)
_ENDED = {
    RunState.SUCCEEDED: StageState.SUCCEEDED,
    RunState.FAILED: StageState.FAILED,
    RunState.CANCELLED: StageState.CANCELLED,
}


def start_stage(stage: Stage, done: dict[str, Stage]) -> bool:
    """Start a waiting stage whose needs (`done`) have succeeded; False when another was faster.

    Any number may call this at once: a conditional UPDATE decides. The run is made and queued in
    the same transaction, so a crash leaves the stage waiting or started, never between.
    """
    if stage.kind == "dataset":
        return _start_dataset(stage, done)
    code_version()  # asks git once a process: not while the database is locked
    pipeline = stage.pipeline
    try:
        loaded = load_json(put_in(stage.data, done), name=f"stage {stage.name}")
        check_task_app(pipeline.project, loaded)
        check_generator(loaded)
        with transaction.atomic():
            if not _take(stage):
                return False
            plan = plan_run(project=pipeline.project, user=pipeline.created_by, loaded=loaded)
            _refuse_leaks(pipeline, plan.leaked_seeds)
            run = make_run(
                project=pipeline.project,
                user=pipeline.created_by,
                plan=plan,
                config=pipeline.config,
                name=plan.name,
            )
            Stage.objects.filter(pk=stage.pk).update(run=run)
            queue_run(run=run)
    except EngineError as error:
        fail_stage(stage, error, was=StageState.WAITING)  # not what another has started meanwhile
    except DatabaseError:
        raise
    except Exception as error:  # a bug: every tick would meet it again and the stage wait for ever
        log.exception("stage %s of pipeline %s cannot start", stage.name, stage.pipeline_id)
        fail_stage(stage, _bug(error), was=StageState.WAITING)
    return True


def watch_stage(stage: Stage) -> None:
    """Bring a running stage to the state of its run. Safe at any time, by any number."""
    run = stage.run
    if stage.kind == "dataset":
        if stage.dataset is None and stage.started_at and now() - stage.started_at > BUILD_AGAIN:
            _state(stage, StageState.RUNNING, StageState.WAITING)
        return
    if run is None:
        _state(stage, StageState.RUNNING, StageState.FAILED, error=_words("Its run was deleted."))
    elif run.state in _ENDED:
        _state(stage, StageState.RUNNING, _ENDED[RunState(run.state)], error=run.error)


def fail_stage(stage: Stage, error: EngineError, *, was: StageState = StageState.RUNNING) -> None:
    """Mark a stage that could not even start, with the words of the error."""
    data = {"code": error.code, "message": error.message, "hint": error.hint}
    Stage.objects.filter(pk=stage.pk, state=was).update(
        state=StageState.FAILED, error=data, started_at=now(), ended_at=now()
    )


def put_in(data: Any, done: dict[str, Stage]) -> Any:
    """A stage's config with every `stage:NAME` replaced by what that stage made.

    Raises Refused when a stage made nothing, such as a training without a checkpoint.
    """
    if isinstance(data, dict):
        return {key: put_in(value, done) for key, value in data.items()}
    if isinstance(data, list):
        return [put_in(value, done) for value in data]
    if isinstance(data, str) and data.startswith("stage:"):
        return made_by(done[data.removeprefix("stage:")])
    return data


def made_by(stage: Stage) -> str:
    """What configs call the result of a stage: a dataset, a model id or a run's number."""
    if stage.kind == "dataset":
        return f"dataset:{stage.dataset_id}"
    if stage.run_id is None:
        raise Refused("no_run", f"The run of stage {stage.name} was deleted.", status=409)
    if stage.kind in ("eval", "rollout"):
        return str(stage.run_id)
    rows = Checkpoint.objects.filter(run_id=stage.run_id, final=True, deleted_at=None)
    checkpoint = rows.order_by("-id").first()
    if checkpoint is None:
        raise Refused("no_model", f"Stage {stage.name} made no model.", status=409)
    return checkpoint.model_id


def _start_dataset(stage: Stage, done: dict[str, Stage]) -> bool:
    """Build the dataset outside of any transaction: it may read thousands of games."""
    if not _take(stage):
        return False
    pipeline = stage.pipeline
    try:
        config = load_json(put_in(stage.data, done), name=f"stage {stage.name}").config
        if not isinstance(config, DatasetConfig):
            raise Refused("wrong_kind", f"Stage {stage.name} makes no dataset.", status=422)
        values = config.model_dump(mode="json", exclude={"type", "name"}, exclude_none=True)
        dataset = create_dataset(
            project=pipeline.project,
            user=pipeline.created_by,
            name=config.name or f"{pipeline.name}: {stage.name}"[:200],
            filter=values,
        )
    except EngineError as error:
        fail_stage(stage, error)
        return True
    except DatabaseError:
        raise
    except Exception as error:
        log.exception("stage %s of pipeline %s built no dataset", stage.name, stage.pipeline_id)
        fail_stage(stage, _bug(error))
        return True
    Stage.objects.filter(pk=stage.pk, state=StageState.RUNNING).update(
        dataset=dataset, state=StageState.SUCCEEDED, ended_at=now()
    )
    return True


def _refuse_leaks(pipeline: Pipeline, leaked: list[int]) -> None:
    if leaked and not pipeline.config.data.get("allow_leaked_seeds"):
        raise Refused(
            "leaked_seeds",
            f"The model was trained on {len(leaked)} of these worlds (first: seed {leaked[0]}).",
            "Give the eval seeds that no training has seen.",
            status=422,
        )


def _take(stage: Stage) -> bool:
    rows = Stage.objects.filter(pk=stage.pk, state=StageState.WAITING)
    return bool(rows.update(state=StageState.RUNNING, started_at=now(), ended_at=None, error=None))


def _state(
    stage: Stage, was: StageState, to: StageState, *, error: dict[str, Any] | None = None
) -> None:
    over = to in (StageState.SUCCEEDED, StageState.FAILED, StageState.CANCELLED)
    Stage.objects.filter(pk=stage.pk, state=was).update(
        state=to, error=error, ended_at=now() if over else None
    )


def _bug(error: Exception) -> EngineError:
    """An error that nobody foresaw, in words."""
    hint = "This is a bug in synthweb; the log of the web or the ticker has the traceback."
    return EngineError(f"{type(error).__name__}: {error}", hint=hint, code="crash")


def _words(message: str) -> dict[str, str]:
    return {"code": "stage_failed", "message": message, "hint": ""}
