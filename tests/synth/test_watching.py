"""What clients follow: events in order, one every 5 s while they wait, curves, how it ended."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils.timezone import now

from apps.runs.models import Event, MetricPoint, MetricSeries, Run, RunState
from apps.runs.services import add_event, move_run
from tests.announce import announce
from tests.servers import web
from tests.servers.sse import Listener
from tests.servers.waiting import wait_until

__all__ = ["announce"]

pytestmark = pytest.mark.django_db


def start(synth) -> Run:
    job = synth.make_sft()["id"]
    synth.post(f"/learning/jobs/{job}/start")
    return Run.objects.get(job_id=job)


def add_points(run: Run, name: str, steps: range) -> None:
    series = MetricSeries.objects.create(run=run, name=name, n_points=len(steps))
    MetricPoint.objects.bulk_create(
        MetricPoint(series=series, step=step, value=1 / (step + 1), at=now(), seq=step)
        for step in steps
    )


def test_events_come_behind_the_last_seq_in_order_and_no_more_than_asked_for(synth, starter):
    run = start(synth)
    for n in range(5):
        add_event(run, "log", {"level": "info", "message": f"line {n}"})
    seen = synth.events(run.job_id)
    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
    assert {"seq", "type", "message", "data", "created_at"} <= seen[0].keys()
    two = synth.events(run.job_id, since_seq=seen[1]["seq"], limit=2)
    assert two == seen[2:4]


def test_who_waits_gets_an_event_every_five_seconds_until_the_job_is_over(synth, starter):
    run = start(synth)
    n_first = len(synth.events(run.job_id))
    assert len(synth.events(run.job_id)) == n_first  # the last one is fresh
    for n in (1, 2):
        Event.objects.filter(run=run).update(at=now() - timedelta(seconds=6))
        seen = synth.events(run.job_id)
        assert len(seen) == n_first + n
        assert (seen[-1]["type"], seen[-1]["message"]) == ("sft.waiting", "still queued")
    move_run(run, RunState.FAILED)
    Event.objects.filter(run=run).update(at=now() - timedelta(seconds=60))
    assert [event["type"] for event in synth.events(run.job_id)][-1] == "sft.failed"


def test_a_draft_that_nobody_started_tells_nothing(synth, starter):
    assert synth.events(synth.make_sft()["id"]) == []


def test_the_end_names_the_model_once_it_can_be_used(synth, starter, announce):
    run = start(synth)
    move_run(run, RunState.RUNNING)
    run.shards.get().attempts.create(number=1, worker="w", started_at=now())
    announce(run, kind="sft")
    assert synth.get(f"/learning/jobs/{run.job_id}").json()["fine_tuned_model"] is None
    move_run(run, RunState.SUCCEEDED)
    model = f"ft:Qwen/Qwen3-4B:{run.job_id}"
    last = synth.events(run.job_id)[-1]
    assert (last["type"], last["data"]["fine_tuned_model"]) == ("sft.completed", model)
    assert synth.get(f"/learning/jobs/{run.job_id}").json()["fine_tuned_model"] == model
    [row] = synth.get("/learning/models").json()["data"]
    assert (row["id"], row["base_model"]) == (model, "Qwen/Qwen3-4B")
    assert row["base_model_resolved"] == "synthweb/crafter-small"
    assert synth.get(f"/models/{model}").json()["job_id"] == run.job_id
    assert [j["id"] for j in synth.get(f"/models/{model}/jobs").json()["data"]] == [run.job_id]
    [checkpoint] = synth.get(f"/sft/jobs/{run.job_id}/checkpoints").json()["data"]
    assert checkpoint["model_id"] == model
    timeline = synth.get(f"/sft/jobs/{run.job_id}/timeline").json()["events"]
    assert [event["type"] for event in timeline] == ["sft.queued", "sft.running", "sft.completed"]


def test_a_failed_job_says_why_and_never_names_a_model(synth, starter):
    run = start(synth)
    move_run(run, RunState.RUNNING)
    error = {"code": "x", "message": "It broke.", "hint": "Mend it."}
    move_run(run, RunState.FAILED, error=error)
    job = synth.get(f"/rl/jobs/{run.job_id}").json()
    assert (job["status"], job["error"]) == ("failed", "It broke. Mend it.")
    assert job["fine_tuned_model"] is None
    assert synth.events(run.job_id)[-1]["message"] == "It broke."


def test_points_count_from_one_and_a_step_is_never_cut_in_two(synth, starter):
    run = start(synth)
    for name in ("train.loss", "val.loss"):
        add_points(run, name, range(6))
    where = f"/learning/jobs/{run.job_id}/metrics"
    seen = []
    while points := synth.get(
        where, after_step=max((p["step"] for p in seen), default=-1), limit=3
    ).json()["points"]:
        seen += points
    assert [(p["step"], p["name"]) for p in seen] == [
        (step, name) for step in range(1, 6) for name in ("train.loss", "val.loss")
    ]
    assert len(synth.get(where, name="val.loss").json()["points"]) == 5
    assert len(synth.get(where, limit=1).json()["points"]) == 2


@pytest.mark.django_db(transaction=True)
def test_a_stream_tells_what_was_and_what_comes_and_ends_with_the_job(
    synth, starter, key_of, alice
):
    run = start(synth)
    with web.serve() as server:
        listener = Listener(
            f"{server.url}/api/rl/jobs/{run.job_id}/events?since_seq=0",
            {"Authorization": f"Bearer {key_of(alice)}"},
        )
        wait_until(lambda: listener.messages, "what was")
        add_event(run, "log", {"level": "info", "message": "hello"})
        wait_until(lambda: listener.messages[-1].data["message"] == "hello", "what comes")
        move_run(run, RunState.RUNNING)
        move_run(run, RunState.FAILED, error={"code": "x", "message": "It broke.", "hint": ""})
        assert listener.ended.wait(10)
    assert [int(m.id) for m in listener.messages] == [m.data["seq"] for m in listener.messages]
    assert listener.messages[-1].data["type"] == "sft.failed"
