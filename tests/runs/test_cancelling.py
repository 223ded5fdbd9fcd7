"""Cancelling: queued, running, silent, ended, and at the very moment when a shard is given back."""

from __future__ import annotations

import pytest

from apps.accounts.errors import Refused
from apps.runs.models import Need, Run, RunState, ShardState
from apps.runs.services import (
    Lease,
    abandon_cancelled,
    cancel_run,
    check_lease,
    claim_shard,
    fail_attempt,
    finish_shard,
    hand_back,
    leases,
    renew_lease,
)
from tests.runs.conftest import ERROR, expire_lease, state_of


def test_cancelling_a_queued_run_ends_it_at_once_and_twice(make_run, actor):
    run = make_run(2)
    cancel_run(run=run, actor=actor)
    cancel_run(run=run, actor=actor)
    assert run.state == RunState.CANCELLED
    assert claim_shard(worker="w", need=Need.ROLLOUT) is None


def test_cancelling_a_running_run_waits_for_its_worker(claim, actor):
    run = cancel_run(run=Run.objects.get(), actor=actor)
    assert run.state == RunState.CANCELLING
    assert check_lease(claim) is Lease.CANCEL
    finish_shard(claim, ShardState.CANCELLED)
    assert state_of(run) == RunState.CANCELLED


def test_a_cancelling_run_whose_worker_is_silent_ends_without_it(claim, actor):
    run = cancel_run(run=Run.objects.get(), actor=actor)
    assert abandon_cancelled() == 0
    expire_lease(claim)
    assert abandon_cancelled() == 1
    assert state_of(run) == RunState.CANCELLED
    assert renew_lease(claim) is Lease.LOST


def test_an_ended_run_cannot_be_cancelled(claim, actor):
    finish_shard(claim, ShardState.SUCCEEDED, values={})
    with pytest.raises(Refused) as refusal:
        cancel_run(run=Run.objects.get(), actor=actor)
    assert "cannot be cancelled" in refusal.value.message


@pytest.mark.parametrize("let_go", ["fail", "hand back"])
def test_a_cancel_just_before_a_shard_is_given_back_ends_the_run(claim, actor, monkeypatch, let_go):
    run, release = Run.objects.get(), leases._release

    def cancelled_first(*args, **kwargs):
        cancel_run(run=run, actor=actor)
        return release(*args, **kwargs)

    monkeypatch.setattr(leases, "_release", cancelled_first)
    if let_go == "fail":
        given = fail_attempt(claim, error=ERROR, retryable=True)
    else:
        given = hand_back(claim, why="its worker was stopped")
    assert given.state == ShardState.CANCELLED
    assert state_of(run) == RunState.CANCELLED
