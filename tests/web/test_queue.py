"""The queue in the browser: why a run waits, its place, cancelling and reordering many at once."""

from __future__ import annotations

import pytest

from apps.launch import services as launch
from apps.runs.models import Run
from apps.runs.queries import list_queue
from apps.runs.services import ShardPlan, create_run, queue_run, report_worker

pytestmark = pytest.mark.django_db
LOOP = """
type = "pipeline"
[stages.look.config]
type = "eval"
model = "random"
seeds = [1]
[stages.again]
after = ["look"]
[stages.again.config]
type = "eval"
model = "random"
seeds = [2]
"""


@pytest.fixture
def waiting(project, alice) -> list[Run]:
    """Three queued runs that need a rollout slot."""
    runs = [
        create_run(
            project=project, user=alice, kind="eval", name=f"run-{n}", config=None, resolved={},
            inputs={}, shards=[ShardPlan(episodes=[])],
        )
        for n in range(3)
    ]  # fmt: skip
    for run in runs:
        queue_run(run=run)
    return runs


def order(project) -> list[str]:
    return [row.name for row in list_queue(project=project)]


def test_a_higher_priority_comes_first_and_the_log_says_who(waiting, alice, project, client_of):
    assert order(project) == ["run-0", "run-1", "run-2"]
    form = {"runs": [waiting[2].pk], "what": "priority", "priority": "0"}
    client_of(alice).post("/queue/act/", form)
    assert order(project) == ["run-2", "run-0", "run-1"]
    assert "run.priority" in client_of(alice).get("/settings/audit/").content.decode()


def test_ticked_runs_are_cancelled_together_and_the_others_stay(waiting, alice, client_of):
    form = {"runs": [run.pk for run in waiting[:2]], "what": "cancel"}
    client_of(alice).post("/queue/act/", form)
    states = [Run.objects.get(pk=run.pk).state for run in waiting]
    assert states == ["cancelled", "cancelled", "queued"]


@pytest.mark.parametrize("priority", ["10", "-1", "", "first"])
def test_a_priority_that_is_none_is_refused(waiting, alice, client_of, priority):
    form = {"runs": [waiting[0].pk], "what": "priority", "priority": priority}
    assert client_of(alice).post("/queue/act/", form).status_code == 422
    assert Run.objects.get(pk=waiting[0].pk).priority == 5


def test_nobody_reorders_or_stops_the_runs_of_others(waiting, mallory, bob, client_of):
    for who, status in ((mallory, 404), (bob, 403)):
        for what in ("cancel", "priority"):
            form = {"runs": [waiting[0].pk], "what": what, "priority": "1"}
            assert client_of(who).post("/queue/act/", form).status_code == status
    assert Run.objects.get(pk=waiting[0].pk).state == "queued"


def test_the_page_says_in_words_what_each_waits_for(waiting, actor, alice, client_of):
    browser = client_of(alice)
    assert "no worker is running" in browser.get("/queue/").content.decode()
    report_worker(name="w", slots={"train": 1}, busy={}, can_train=True)
    assert "no worker offers a rollout slot" in browser.get("/queue/").content.decode()
    report_worker(name="w", slots={"rollout": 2}, busy={"rollout": 2}, can_train=True)
    assert "all 2 rollout slots are taken" in browser.get("/queue/").content.decode()
    config = launch.import_config(actor=actor, text=LOOP, name="loop.toml")
    launch.start_pipeline(actor=actor, config=config)
    page = browser.get("/queue/").content.decode()
    assert "stage look" in page


def test_the_api_sets_a_priority_while_a_run_is_not_over(waiting, alice, key_of, client):
    def patch(value: int):
        headers = {"Authorization": f"Bearer {key_of(alice)}"}
        where = f"/api/v1/runs/{waiting[0].pk}"
        body = {"priority": value}
        return client.patch(where, body, content_type="application/json", headers=headers)

    assert patch(2).json()["priority"] == 2
    assert patch(11).status_code == 422
    Run.objects.filter(pk=waiting[0].pk).update(state="succeeded")
    assert patch(3).status_code == 409
