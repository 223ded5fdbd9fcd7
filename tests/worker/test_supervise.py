"""One attempt with a real engine child, from claim to end."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from django.db import connection
from django.utils.timezone import now

from apps.runs.ingest import MAX_EVENTS
from apps.runs.models import Attempt, Event, MetricPoint, Need, Run, RunState, Shard, ShardState
from apps.runs.queries import list_events
from apps.runs.services import cancel_run, claim_shard, requeue_lost
from apps.worker.rundir import directory_of
from apps.worker.supervise import MAX_POLL_S, POLL_S, pause_s, supervise
from engine.events import EventWriter
from tests.faults.plant import engines
from tests.runs.conftest import expire_lease
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("n_events", "spent_s", "pause"),
    [(0, 0.0, POLL_S), (64, 0.006, 0.2), (64, 0.5, MAX_POLL_S), (MAX_EVENTS, 0.5, 0.0)],
)
def test_a_worker_looks_less_often_the_more_a_look_costs(n_events, spent_s, pause):
    assert pause_s(n_events, spent_s) == pytest.approx(pause)


class Supervised:
    """A supervisor in a thread of its own, as a worker has it."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.claim = claim_shard(worker="one", need=Need.ROLLOUT)
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def _work(self) -> None:
        try:
            supervise(self.claim, self.stopping)
        finally:
            connection.close()

    def wait_for_points(self, n: int = 1) -> None:
        wait_until(lambda: MetricPoint.objects.count() >= n, "metric points")

    def join(self) -> None:
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture
def supervised(make_run):
    """A long noop run under supervision; stopped at the end whatever happens."""
    make_run(resolved={"n_steps": 10_000, "step_s": 0.01})
    started = Supervised()
    started.wait_for_points()
    yield started
    started.stopping.set()
    started.join()


def child_pid() -> int:
    """The pid of the only engine of ours."""
    return engines(Run.objects.get())[0]


def test_a_run_is_played_ingested_and_ended(claim):
    supervise(claim, threading.Event())
    run = Run.objects.get()
    assert (run.state, run.error) == (RunState.SUCCEEDED, None)
    assert run.result == {"steps": 3}
    assert (run.progress_done, run.progress_total) == (3, 3)
    events = list_events(run=run)
    assert [event.seq for event in events] == list(range(1, run.event_seq + 1))
    assert [e.data["values"]["noop.step"] for e in events if e.type == "metric"] == [1, 2, 3]
    assert Attempt.objects.get().exit_code == 0


def test_a_failure_of_the_job_is_the_error_of_the_run(make_run):
    make_run(resolved={"n_steps": 3, "fail_at": 2})
    supervise(claim_shard(worker="one", need=Need.ROLLOUT), threading.Event())
    run = Run.objects.get()
    assert run.state == RunState.FAILED
    assert run.error["code"] == "training_error"
    assert "Step 2" in run.error["message"]


def test_an_unknown_kind_fails_with_words(make_run):
    make_run(kind="nonsense")
    supervise(claim_shard(worker="one", need=Need.ROLLOUT), threading.Event())
    run = Run.objects.get()
    assert run.state == RunState.FAILED
    assert "nonsense" in run.error["message"]


def test_a_cancel_reaches_the_engine_and_what_was_told_is_kept(supervised, actor):
    began = time.monotonic()
    run = cancel_run(run=Run.objects.get(), actor=actor)
    supervised.join()
    run.refresh_from_db()
    assert run.state == RunState.CANCELLED
    assert run.result["steps"] >= 1
    assert time.monotonic() - began < 15


def test_a_stopping_worker_hands_its_shard_back_at_once(supervised):
    supervised.stopping.set()
    supervised.join()
    shard = Shard.objects.get()
    assert (shard.state, shard.n_failures) == (ShardState.QUEUED, 0)
    assert Attempt.objects.get().outcome == "handed_back"
    assert claim_shard(worker="two", need=Need.ROLLOUT) is not None


def test_a_killed_engine_is_explained_and_tried_again(supervised):
    os.kill(child_pid(), signal.SIGKILL)
    supervised.join()
    shard = Shard.objects.get()
    assert (shard.state, shard.n_failures) == (ShardState.QUEUED, 1)
    assert "out of memory" in Attempt.objects.get().error["message"]
    warning = Event.objects.get(type="log", data__level="warning")
    assert "out of memory" in warning.data["message"]


def test_the_engine_sees_no_secret_of_ours(supervised, settings):
    with open(f"/proc/{child_pid()}/environ", "rb") as file:
        seen = file.read().decode()
    assert settings.SECRET_KEY not in seen
    assert settings.PROVIDER_SECRET not in seen
    assert "DATABASE_URL" not in seen
    assert "SYNTHWEB_LEASE_FD" in seen


def test_an_event_of_an_odd_shape_is_the_error_of_the_run(claim, monkeypatch):
    monkeypatch.setattr("apps.runs.ingest.batch.keep_progress", lambda *_: {}["done"])
    Run.objects.update(max_attempts=1)
    supervise(claim, threading.Event())
    run = Run.objects.get()
    assert (run.state, run.error["code"]) == (RunState.FAILED, "worker_error")
    assert "KeyError: 'done'" in run.error["message"]


def test_a_run_whose_announced_game_is_torn_is_no_success_until_it_is_played_again(claim):
    directory = directory_of(claim.run_id, 0, claim.token)
    directory.mkdir(parents=True)
    (directory / "torn.swtrace").write_bytes(b"")
    writer = EventWriter(directory)
    payload = {"path": "torn.swtrace", "sha256": "0" * 64, "size": 9}
    writer.write("episode", {"summary": {}, "payload": payload})
    writer.write("result", {"ok": True, "values": {"told": 1}})
    writer.close()
    expire_lease(claim)
    requeue_lost()
    Shard.objects.update(queued_at=now())
    supervise(claim_shard(worker="two", need=Need.ROLLOUT), threading.Event())
    shard = Shard.objects.get()
    assert (shard.state, shard.result.get("told")) == (ShardState.SUCCEEDED, None)
    logs = [e.data["message"] for e in list_events(run=shard.run) if e.type == "log"]
    assert any("An announced episode" in told for told in logs)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0\0\0 no event\n",
        b'{"seq": 2, "at": 1.0, "type": "metric", "data": {"values": 7}}\n',
        b'{"seq": 2, "at": 1.0, "type": "episode", "data": {"summary": {}}}\n',
        b'{"seq": 2, "at": 1.0, "type": "view", "data": {}}\n',
        b'{"seq": 2, "at": 1.0, "type": "progress", "data": {"done": "x", "total": 1}}\n',
    ],
)
def test_garbage_that_an_earlier_attempt_left_does_not_fail_the_next(claim, garbage):
    directory = directory_of(claim.run_id, 0, claim.token)
    directory.mkdir(parents=True)
    writer = EventWriter(directory)
    writer.metric(1, {"noop.step": 1.0})
    with writer.path.open("ab") as file:
        file.write(garbage)
    writer.close()
    writer = EventWriter(directory)
    writer.metric(2, {"noop.step": 2.0})
    writer.close()
    expire_lease(claim)
    requeue_lost()
    Shard.objects.update(queued_at=now())  # the pause before a new attempt is not what is tried
    supervise(claim_shard(worker="two", need=Need.ROLLOUT), threading.Event())
    run = Run.objects.get()
    assert (run.state, run.error) == (RunState.SUCCEEDED, None)
    told = MetricPoint.objects.filter(seq__lte=run.event_seq).order_by("seq")
    assert list(told.values_list("step", flat=True)) == [1, 2, 1, 2, 3]
    logs = [e.data["message"] for e in list_events(run=run) if e.type == "log"]
    assert any("events.jsonl line 2 " in told or "(event 2 of" in told for told in logs)
