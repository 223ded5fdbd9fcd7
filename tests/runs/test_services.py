"""The state machine, leases and fencing: who may change what, twice, late and at once."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from apps.accounts.errors import Refused
from apps.runs.finishers import FINISHERS
from apps.runs.models import Attempt, Event, Need, Run, RunState, Shard, ShardState
from apps.runs.services import (
    Claim,
    Lease,
    cancel_run,
    claim_shard,
    delete_run,
    fail_attempt,
    finish_shard,
    hand_back,
    move_run,
    queue_run,
    renew_lease,
    requeue_lost,
    resume_run,
    set_tags,
    settle_over,
)
from apps.runs.services.states import ARROWS
from engine.errors import LeaseLost
from tests.runs.conftest import ERROR, expire_lease, state_of


@pytest.mark.parametrize("was", RunState.values)
@pytest.mark.parametrize("to", RunState.values)
def test_only_the_arrows_can_be_walked(make_run, was, to):
    run = make_run(queued=False)
    Run.objects.filter(pk=run.pk).update(state=was)
    if was == to:
        assert move_run(run, RunState(to)) is False
    elif RunState(to) in ARROWS[RunState(was)]:
        assert move_run(run, RunState(to)) is True
        event = Event.objects.get(run=run)
        assert event.data["was"] == was
        assert event.data["state"] == to
    else:
        with pytest.raises(Refused) as refusal:
            move_run(run, RunState(to))
        assert refusal.value.status == 409
        assert state_of(run) == was


def test_queueing_twice_writes_one_event(make_run):
    run = make_run()
    queue_run(run=run)
    assert Event.objects.filter(run=run, type="state").count() == 1


def test_a_shard_is_claimed_once(make_run):
    run = make_run()
    first = claim_shard(worker="one", need=Need.ROLLOUT)
    assert claim_shard(worker="two", need=Need.ROLLOUT) is None
    assert first is not None
    assert state_of(run) == RunState.RUNNING
    assert Attempt.objects.get().number == first.token == 1


def test_a_worker_takes_only_what_it_needs_to_offer(make_run):
    make_run(need=Need.TRAIN)
    assert claim_shard(worker="one", need=Need.ROLLOUT) is None
    assert claim_shard(worker="one", need=Need.TRAIN) is not None


def test_a_large_run_does_not_starve_a_small_one(make_run):
    large, small = make_run(5), make_run(1)
    taken = [claim_shard(worker="w", need=Need.ROLLOUT).run_id for _ in range(3)]
    assert taken == [large.pk, small.pk, large.pk]


def test_priority_goes_before_age(make_run):
    make_run(priority=5)
    urgent = make_run(priority=0)
    assert claim_shard(worker="w", need=Need.ROLLOUT).run_id == urgent.pk


@pytest.mark.django_db(transaction=True)
def test_many_workers_at_once_take_each_shard_once(make_run):
    make_run(6)
    taken: list[int] = []

    def work() -> None:
        try:
            while (claim := claim_shard(worker="w", need=Need.ROLLOUT)) is not None:
                taken.append(claim.shard_id)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A worker may come back empty-handed while others are faster; nobody takes one twice.
    assert len(taken) == len(set(taken))
    while (claim := claim_shard(worker="w", need=Need.ROLLOUT)) is not None:
        taken.append(claim.shard_id)
    assert len(taken) == 6
    assert Attempt.objects.count() == 6


def test_a_late_worker_cannot_finish_a_shard_taken_over(claim):
    expire_lease(claim)
    assert requeue_lost() == 1
    new = claim_shard(worker="new", need=Need.ROLLOUT)
    with pytest.raises(LeaseLost):
        finish_shard(claim, ShardState.SUCCEEDED, values={})
    shard = Shard.objects.get()
    assert (shard.state, shard.worker, shard.token) == (ShardState.RUNNING, "new", new.token)
    assert renew_lease(claim) is Lease.LOST
    assert renew_lease(new) is Lease.HELD


def test_a_renewed_lease_is_not_requeued(claim):
    expire_lease(claim)
    assert renew_lease(claim) is Lease.HELD
    assert requeue_lost() == 0


def test_requeueing_twice_moves_the_shard_once(claim):
    expire_lease(claim)
    assert [requeue_lost(), requeue_lost()] == [1, 0]
    assert Attempt.objects.get().outcome == "lost"


def test_the_last_shard_ends_the_run(make_run):
    run = make_run(2)
    for n in range(2):
        claim = claim_shard(worker="w", need=Need.ROLLOUT)
        finish_shard(claim, ShardState.SUCCEEDED, values={"n": n})
    run.refresh_from_db()
    assert run.state == RunState.SUCCEEDED
    assert run.result == {"shards": [{"n": 0}, {"n": 1}]}
    assert run.ended_at is not None


def test_a_failed_attempt_is_tried_again_and_then_fails_the_run(claim, settings):
    settings.RETRY_BACK_OFF_SECONDS = 0
    for n in range(3):
        settled = fail_attempt(claim, error=ERROR, retryable=True)
        if n < 2:
            assert settled.state == ShardState.QUEUED
            claim = claim_shard(worker="one", need=Need.ROLLOUT)
    run = Run.objects.get()
    assert run.state == RunState.FAILED
    assert run.error["message"] == "The game broke. (tried 3 times)"


def test_a_failed_attempt_waits_before_the_next(claim):
    fail_attempt(claim, error=ERROR, retryable=True)
    assert claim_shard(worker="one", need=Need.ROLLOUT) is None
    assert "The game broke." in Shard.objects.get().waiting_for


def test_an_error_that_does_not_pass_fails_at_once(claim):
    fail_attempt(claim, error=ERROR, retryable=False)
    assert Run.objects.get().state == RunState.FAILED
    assert Attempt.objects.count() == 1


def test_handing_back_counts_as_no_failure(claim):
    hand_back(claim, why="its worker was stopped")
    shard = Shard.objects.get()
    assert (shard.state, shard.n_failures) == (ShardState.QUEUED, 0)
    assert claim_shard(worker="two", need=Need.ROLLOUT) is not None


def test_resuming_queues_only_what_is_missing(make_run, actor):
    run = make_run(2)
    finish_shard(claim_shard(worker="w", need=Need.ROLLOUT), ShardState.SUCCEEDED, values={})
    cancel_run(run=run, actor=actor)
    resume_run(run=run, actor=actor)
    resume_run(run=run, actor=actor)
    assert state_of(run) == RunState.QUEUED
    states = list(Shard.objects.order_by("index").values_list("state", flat=True))
    assert states == [ShardState.SUCCEEDED, ShardState.QUEUED]


def test_a_run_whose_worker_died_before_settling_is_settled_by_the_tick(claim):
    Shard.objects.update(state=ShardState.SUCCEEDED)
    assert settle_over() == 1
    assert Run.objects.get().state == RunState.SUCCEEDED


def test_a_live_run_cannot_be_deleted(claim, actor):
    with pytest.raises(Refused):
        delete_run(run=Run.objects.get(), actor=actor)
    finish_shard(claim, ShardState.SUCCEEDED, values={})
    delete_run(run=Run.objects.get(), actor=actor)
    assert not Run.objects.exists()


def test_a_shard_that_loses_its_worker_again_and_again_fails(claim, monkeypatch):
    monkeypatch.setattr("apps.runs.services.lost.MAX_LOST", 2)
    for _ in range(2):
        expire_lease(claim)
        requeue_lost()
        claim = claim_shard(worker="w", need=Need.ROLLOUT) or claim
    run = Run.objects.get()
    assert (run.state, run.error["code"]) == (RunState.FAILED, "worker_lost")


def test_tags_are_replaced(make_run, actor):
    run = make_run()
    set_tags(run=run, actor=actor, tags=["b", " a ", "a"])
    assert set_tags(run=run, actor=actor, tags=["a", "c"]) == ["a", "c"]
    assert sorted(run.tags.values_list("name", flat=True)) == ["a", "c"]


def test_a_reader_may_not_cancel(make_run, bob, project):
    from apps.accounts.queries import actor_of_session

    with pytest.raises(Refused) as refusal:
        cancel_run(run=make_run(), actor=actor_of_session(bob, project.pk))
    assert refusal.value.status == 403


def test_a_claim_names_its_attempt(claim: Claim):
    attempt = Attempt.objects.get(pk=claim.attempt_id)
    assert (attempt.shard_id, attempt.number) == (claim.shard_id, claim.token)


def test_a_run_whose_result_cannot_be_made_ends_with_the_reason(claim, monkeypatch):
    monkeypatch.setitem(FINISHERS, "noop", lambda run: {}["scores"])
    finish_shard(claim, ShardState.SUCCEEDED, values={})
    run = Run.objects.get()
    assert (run.state, run.error["code"]) == (RunState.FAILED, "no_result")


def test_lost_workers_of_before_a_resume_do_not_count(claim, actor, monkeypatch):
    monkeypatch.setattr("apps.runs.services.lost.MAX_LOST", 1)
    expire_lease(claim)
    requeue_lost()
    run = Run.objects.get()
    assert run.state == RunState.FAILED
    monkeypatch.setattr("apps.runs.services.lost.MAX_LOST", 2)
    resume_run(run=run, actor=actor)
    expire_lease(claim_shard(worker="w", need=Need.ROLLOUT))
    requeue_lost()
    assert Shard.objects.get().state == ShardState.QUEUED
