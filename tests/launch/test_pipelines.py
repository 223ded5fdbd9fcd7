"""Pipelines: a stage starts when its inputs have succeeded, and a failure can be mended."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from apps.accounts.errors import Refused
from apps.accounts.models import User
from apps.accounts.queries import Actor
from apps.checkpoints.models import Checkpoint
from apps.launch import services
from apps.launch.models import Pipeline, Stage
from apps.launch.queries import get_pipeline, list_pipelines
from apps.launch.services import pipelines
from apps.launch.services.stages import start_stage
from apps.runs.models import Config, Run, RunState
from engine.config import ConfigErrors
from tests.launch.conftest import RANDOM, end_run, make_checkpoint

Store = Callable[..., Config]
LOOP = """
[stages.base]
config = {model = "synthweb/crafter-small", seeds = "100..103"}
[stages.collect]
config = {type = "rollout", provider = "builtin", model = "guide", seeds = "0..3"}
[stages.data]
runs = ["stage:collect"]
config = {type = "dataset", name = "good games", min_unique = 2}
[stages.train]
dataset = "stage:data"
config = {job.model = "synthweb/crafter-small"}
[stages.sft]
model = "stage:train"
config = {model = "x", seeds = "100..103"}
[table]
rows = ["base", "sft"]
"""
TWO = f"""
[stages.first]
config = {{{RANDOM.strip().replace(chr(10), ", ")}}}
[stages.second]
after = ["first"]
config = {{{RANDOM.strip().replace(chr(10), ", ")}}}
"""


def start(actor: Actor, config: Config) -> Pipeline:
    made = services.launch(actor=actor, config=config)
    assert isinstance(made, Pipeline)
    return made


def states(pipeline: Pipeline) -> dict[str, str]:
    return dict(Stage.objects.filter(pipeline=pipeline).values_list("name", "state"))


def run_of(pipeline: Pipeline, name: str) -> Run:
    run = Stage.objects.get(pipeline=pipeline, name=name).run
    assert run is not None
    return run


def advance(pipeline: Pipeline) -> dict[str, str]:
    services.advance_pipelines()
    pipeline.refresh_from_db()
    return states(pipeline)


def play_loop(actor: Actor, store: Store, sft_scores: list[int]) -> Pipeline:
    """The whole loop with invented games: base scores 1 everywhere."""
    pipeline = start(actor, store(LOOP))
    assert states(pipeline) == {
        "base": "running", "collect": "running", "data": "waiting", "train": "waiting",
        "sft": "waiting",
    }  # fmt: skip
    end_run(run_of(pipeline, "base"), scores=[1, 1, 1, 1])
    end_run(run_of(pipeline, "collect"), scores=[1, 3, 4, 2])
    assert advance(pipeline)["data"] == "succeeded"
    assert advance(pipeline)["train"] == "running"
    train = run_of(pipeline, "train")
    assert train.inputs["base"]["base_model"] == "synthweb/crafter-small"
    dataset = Stage.objects.get(pipeline=pipeline, name="data").dataset
    assert dataset is not None
    assert train.inputs["data"]["sha256"] == dataset.sha256
    assert dataset.n_episodes == 3
    model = f"ft:synthweb/crafter-small:{train.job_id}"
    make_checkpoint(actor.project, model, run=train, trained_seeds=[["crafter", "", [[0, 3]]]])
    end_run(train)
    assert advance(pipeline)["sft"] == "running"
    assert run_of(pipeline, "sft").model == model
    end_run(run_of(pipeline, "sft"), scores=sft_scores)
    assert set(advance(pipeline).values()) == {"succeeded"}
    return pipeline


@pytest.mark.usefixtures("starter")
def test_a_loop_runs_through_and_its_table_proves_the_gain(actor: Actor, store: Store) -> None:
    pipeline = play_loop(actor, store, [3, 4, 3, 4])
    assert pipeline.state == "succeeded"
    base, sft = pipeline.result["rows"]
    assert (base["mean"], sft["mean"], sft["difference"]) == (1.0, 3.5, 2.5)
    assert sft["difference_ci95"][0] > 0
    assert pipeline.result["better"] is True


@pytest.mark.usefixtures("starter")
def test_a_gain_whose_interval_holds_zero_is_not_proven(actor: Actor, store: Store) -> None:
    pipeline = play_loop(actor, store, [0, 3, 1, 2])
    assert pipeline.result["better"] is False


def test_the_tick_may_come_twice_or_a_hundred_times(actor: Actor, store: Store) -> None:
    pipeline = start(actor, store(TWO))
    for _ in range(5):
        services.advance_pipelines()
    assert Run.objects.count() == 1
    end_run(run_of(pipeline, "first"))
    for _ in range(5):
        services.advance_pipelines()
    assert Run.objects.count() == 2


def test_a_failed_stage_fails_the_pipeline_with_its_reason(actor: Actor, store: Store) -> None:
    pipeline = start(actor, store(TWO))
    end_run(run_of(pipeline, "first"), RunState.FAILED)
    assert advance(pipeline) == {"first": "failed", "second": "waiting"}
    assert pipeline.state == "failed"
    assert pipeline.error is not None
    assert "Stage first failed: It broke." in pipeline.error["message"]


def test_a_failed_pipeline_is_continued_where_it_broke(actor: Actor, store: Store) -> None:
    pipeline = start(actor, store(TWO))
    first = run_of(pipeline, "first")
    end_run(first, RunState.FAILED)
    advance(pipeline)
    services.continue_pipeline(actor=actor, pipeline=pipeline)
    services.continue_pipeline(actor=actor, pipeline=pipeline)
    first.refresh_from_db()
    assert first.state == RunState.QUEUED
    end_run(first)
    assert advance(pipeline) == {"first": "succeeded", "second": "running"}
    assert pipeline.state == "running"


def test_a_failed_stage_can_be_mended(actor: Actor, store: Store) -> None:
    pipeline = start(actor, store(TWO))
    end_run(run_of(pipeline, "first"), RunState.FAILED)
    advance(pipeline)
    with pytest.raises(ConfigErrors, match="did you mean max_turns"):
        services.continue_pipeline(
            actor=actor, pipeline=pipeline, stage="first", sets=["max_turn=3"]
        )
    services.continue_pipeline(actor=actor, pipeline=pipeline, stage="first", sets=["seeds=[7]"])
    assert run_of(pipeline, "first").resolved["seeds"] == "7"
    assert states(pipeline)["first"] == "running"


def test_cancelling_stops_what_runs_and_what_waits(actor: Actor, store: Store) -> None:
    pipeline = start(actor, store(TWO))
    services.cancel_pipeline(actor=actor, pipeline=pipeline)
    services.cancel_pipeline(actor=actor, pipeline=pipeline)
    assert states(pipeline) == {"first": "cancelled", "second": "cancelled"}
    assert run_of(pipeline, "first").state == RunState.CANCELLED
    services.advance_pipelines()
    assert Run.objects.count() == 1


def test_cancelling_stops_a_run_that_the_tick_starts_meanwhile(
    actor: Actor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = start(actor, store(TWO))
    end_run(run_of(pipeline, "first"))
    read = pipelines._stages

    def read_then_tick(row: Pipeline) -> list[Stage]:
        found = read(row)
        by_name = {stage.name: stage for stage in read(row)}
        by_name["second"].pipeline = pipeline
        start_stage(by_name["second"], by_name)
        return found

    monkeypatch.setattr(pipelines, "_stages", read_then_tick)
    services.cancel_pipeline(actor=actor, pipeline=pipeline)
    assert run_of(pipeline, "second").state == RunState.CANCELLED


def test_a_bug_in_starting_a_stage_fails_the_pipeline_with_its_words(
    actor: Actor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = start(actor, store(TWO))
    end_run(run_of(pipeline, "first"))
    monkeypatch.setattr("apps.launch.services.stages.plan_run", lambda **_: {}["seeds"])
    assert advance(pipeline)["second"] == "failed"
    assert pipeline.error is not None
    assert "KeyError: 'seeds'" in pipeline.error["message"]


def test_a_wrong_name_is_told_before_anything_starts(actor: Actor, store: Store) -> None:
    config = store(LOOP.replace("synthweb/crafter-small", "Qwen/Qwen3-4B"))
    with pytest.raises(Refused, match=r"no model 'Qwen/Qwen3-4B'"):
        services.launch(actor=actor, config=config)
    assert not Pipeline.objects.exists()
    assert not Run.objects.exists()


def test_a_model_scored_on_its_training_worlds_fails_the_stage(
    actor: Actor, store: Store, starter: Checkpoint
) -> None:
    Checkpoint.objects.filter(pk=starter.pk).update(trained_seeds=[["crafter", "", [[100, 100]]]])
    pipeline = start(actor, store(LOOP))
    stage = Stage.objects.get(pipeline=pipeline, name="base")
    assert stage.state == "failed"
    assert stage.error["code"] == "leaked_seeds"


def test_a_training_that_made_no_model_is_told(
    actor: Actor, store: Store, starter: Checkpoint
) -> None:
    pipeline = start(actor, store(LOOP))
    end_run(run_of(pipeline, "base"), scores=[1] * 4)
    end_run(run_of(pipeline, "collect"), scores=[3] * 4)
    advance(pipeline)
    advance(pipeline)
    end_run(run_of(pipeline, "train"))
    assert advance(pipeline)["sft"] == "failed"
    advance(pipeline)
    assert pipeline.error is not None
    assert "Stage train made no model" in pipeline.error["message"]


@pytest.mark.usefixtures("starter")
def test_the_ladder_shows_each_stage_with_its_score(actor: Actor, store: Store) -> None:
    pipeline = play_loop(actor, store, [3, 4, 3, 4])
    detail = get_pipeline(project=actor.project, pipeline_id=pipeline.pk)
    assert [stage.name for stage in detail.stages] == ["base", "collect", "data", "train", "sft"]
    assert (detail.n_done, detail.n_stages) == (5, 5)
    assert detail.stages[2].dataset_name == "good games"
    assert detail.table["better"] is True
    (row,) = list_pipelines(project=actor.project).items
    assert (row.id, row.state) == (pipeline.pk, "succeeded")


@pytest.mark.usefixtures("starter")
def test_a_table_of_an_older_version_is_still_drawn(
    actor: Actor, store: Store, client_of: Callable[[User], Client]
) -> None:
    pipeline = play_loop(actor, store, [3, 4, 3, 4])
    del pipeline.result["steps"]
    for row in pipeline.result["rows"]:
        del row["measure"]
    pipeline.save()
    assert actor.user is not None
    page = client_of(actor.user).get(f"/pipelines/{pipeline.pk}/")
    assert "achievements a game" in page.content.decode()


def test_a_stranger_sees_no_pipeline(actor: Actor, store: Store, mallory) -> None:  # type: ignore[no-untyped-def]
    pipeline = start(actor, store(TWO))
    with pytest.raises(Refused) as caught:
        get_pipeline(project=mallory.projects.get(), pipeline_id=pipeline.pk)
    assert caught.value.status == 404
