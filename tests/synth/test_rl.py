"""Trainings from reward: accepted and stored; what cannot be launched fails with that reason."""

from __future__ import annotations

import pytest

from apps.accounts.errors import Refused
from apps.launch.services import runs as launching
from apps.runs.models import Run

pytestmark = pytest.mark.django_db


def test_a_job_that_cannot_be_launched_is_a_failed_run_with_that_reason(
    synth, starter, monkeypatch
):
    """Whatever the reason is: here it is one that no request can mend."""

    def refuse(**_: object) -> None:
        raise Refused("no_room", "This machine is too small for it.", "Take another.", status=422)

    monkeypatch.setattr(launching, "plan_run", refuse)
    job = synth.make_rl()
    assert (job["status"], job["fine_tuned_model"]) == ("failed", None)
    assert job["error"] == "This machine is too small for it. Take another."
    run = Run.objects.get(job_id=job["id"])
    assert (run.kind, run.state, run.error["code"]) == ("rl", "failed", "no_room")
    assert [event["type"] for event in synth.events(job["id"])] == ["rl.queued", "rl.job.failed"]
    assert synth.post(f"/rl/jobs/{job['id']}/start").json()["status"] == "failed"


def test_a_model_that_is_not_here_is_refused_and_makes_no_run(synth, starter):
    body = {"job_type": "rl", "data": {"base_model": "Qwen/Qwen3-14B", "config": {}}}
    refused = synth.post("/rl/jobs", body)
    assert refused.status_code == 422
    assert "synthweb/crafter-small" in refused.json()["detail"]
    assert Run.objects.count() == 0


def test_a_toml_with_a_mistake_is_refused_with_its_key(synth, starter):
    body = {"data": {"base_model": "Qwen/Qwen3-4B", "config": {"training": {"batchsize": 1}}}}
    refused = synth.post("/rl/jobs", body)
    assert refused.status_code == 422
    assert "batch_size" in str(refused.json()["error"]["fields"])
