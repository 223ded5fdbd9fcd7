"""Jobs: made, started, listed, cancelled; each a run of ours, each found under every family."""

from __future__ import annotations

import pytest

from apps.launch.models import Pipeline
from apps.providers.services import set_alias
from apps.runs.models import Run, RunState
from apps.runs.services import move_run
from tests.games import make_run

pytestmark = pytest.mark.django_db
FAMILIES = ("learning", "sft", "rl", "orchestration")


def test_every_family_answers_for_any_kind_of_job_and_for_runs_of_the_dashboard(
    synth, starter, project
):
    job = synth.make_sft()["id"]
    run = make_run(project, kind="eval").job_id
    for family in FAMILIES:
        assert synth.get(f"/{family}/jobs/{job}").json()["job_type"] == "sft"
        assert synth.get(f"/{family}/jobs/{run}").json()["id"] == run
        assert synth.get(f"/{family}/jobs/job_0").status_code == 404


def test_starting_twice_queues_once_and_a_job_that_is_over_stays_over(synth, starter):
    job = synth.make_sft()["id"]
    run = Run.objects.get(job_id=job)
    for _ in range(2):
        assert synth.post(f"/learning/jobs/{job}/start").json()["status"] == "queued"
    move_run(run, RunState.RUNNING)
    move_run(run, RunState.SUCCEEDED)
    again = synth.post(f"/learning/jobs/{job}/start")
    assert (again.status_code, again.json()["status"]) == (200, "succeeded")


def test_a_job_that_has_not_started_is_cancelled_and_does_not_start_any_more(synth, starter):
    job = synth.make_sft()["id"]
    for _ in range(2):
        assert synth.post(f"/sft/jobs/{job}/cancel").json()["status"] == "cancelled"
    assert synth.post(f"/sft/jobs/{job}/start").json()["status"] == "cancelled"
    assert Run.objects.get(job_id=job).state == "cancelled"


def test_before_the_starting_model_exists_a_job_becomes_a_pipeline_when_it_starts(synth, actor):
    set_alias(actor=actor, requested="Qwen/Qwen3-4B", resolved="synthweb/crafter-small")
    job = synth.make_sft()
    assert (job["status"], job["run"], Pipeline.objects.count()) == ("queued", None, 0)
    for _ in range(2):
        started = synth.post(f"/learning/jobs/{job['id']}/start").json()
        assert started["status"] == "running"
    assert Pipeline.objects.count() == 1
    made = Run.objects.get()
    assert (made.kind, started["linked_job_id"]) == ("base", made.job_id)
    assert synth.post(f"/learning/jobs/{job['id']}/cancel").json()["status"] == "cancelled"


def test_a_waiting_job_without_a_run_can_be_cancelled_too(synth, actor):
    set_alias(actor=actor, requested="Qwen/Qwen3-4B", resolved="synthweb/crafter-small")
    job = synth.make_sft()["id"]
    assert synth.post(f"/learning/jobs/{job}/cancel").json()["status"] == "cancelled"
    assert synth.post(f"/learning/jobs/{job}/start").status_code == 409


def test_a_list_is_filtered_and_paged_by_the_last_id(synth, starter):
    jobs = [synth.make_sft()["id"] for _ in range(3)]
    synth.post(f"/sft/jobs/{jobs[0]}/start")
    first = synth.get("/sft/jobs", limit=2).json()
    second = synth.get("/sft/jobs", limit=2, after=first["last_id"]).json()
    assert [row["id"] for row in first["data"] + second["data"]] == jobs[::-1]
    assert (first["has_more"], second["has_more"]) == (True, False)
    file = synth.get(f"/sft/jobs/{jobs[1]}").json()["training_file_id"]
    assert [row["id"] for row in synth.get(f"/files/{file}/jobs").json()["data"]] == [jobs[1]]
    assert len(synth.get("/sft/jobs", status="queued").json()["data"]) == 3
    assert synth.get("/sft/jobs", status="cancelled").json()["data"] == []
    assert synth.get("/sft/jobs", status="asleep").status_code == 422


def test_what_the_sdk_may_add_is_understood(synth, starter):
    validation = synth.upload(path="/learning/files").json()["id"]
    job = synth.make_sft(
        hyperparameters={"total_steps": 7}, suffix="mine", validation_file=validation
    )
    run = Run.objects.get(job_id=job["id"])
    assert run.name == "mine"
    assert run.resolved["training"]["max_steps"] == 7
    assert {row.role for row in run.input_rows.all()} == {"base", "data", "validation"}


def test_a_wrong_hyperparameter_is_named(synth, starter):
    file = synth.upload().json()["id"]
    body = {"model": "Qwen/Qwen3-4B", "training_file_id": file, "hyperparameters": {"n_epoch": 1}}
    refused = synth.post("/learning/jobs", body)
    assert refused.status_code == 422
    assert "n_epochs" in refused.json()["detail"]


def test_the_three_forms_of_an_rl_body_name_model_task_app_and_sizes(synth, starter):
    trainer = {"batch_size": 8, "group_size": 2}
    forms = (
        {"job_type": "rl", "data": {"model": "Qwen/Qwen3-4B", "trainer": trainer,
                                    "endpoint_base_url": "http://127.0.0.1:8001"}},
        {"model": "Qwen/Qwen3-4B", "endpoint_base_url": "http://127.0.0.1:8001",
         "trainer_id": "t", "trainer": trainer},
    )  # fmt: skip
    for body in forms:
        made = synth.post("/rl/jobs", body)
        assert made.status_code == 201, made.content
        config = Run.objects.get(job_id=made.json()["id"]).config.data
        assert config["model"]["base"] == "Qwen/Qwen3-4B"
        assert config["services"]["task_url"] == "http://127.0.0.1:8001"
        assert (config["training"]["batch_size"], config["training"]["group_size"]) == (8, 2)


def test_an_idempotency_key_makes_one_job(synth, starter):
    first, again = (synth.make_rl_with_key("k") for _ in range(2))
    assert first == again
    assert Run.objects.count() == 1
