"""What the next attempt is told: which games are done, and which are played again."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils.timezone import now

from apps.accounts.errors import Refused
from apps.checkpoints.models import Checkpoint
from apps.runs import storage
from apps.runs.models import Need, Run, RunState, Shard, ShardState
from apps.runs.services import (
    claim_shard,
    finish_shard,
    move_run,
    resume_run,
    retry_failed,
)
from apps.traces.models import Episode
from apps.worker.rundir import finished_episodes, last_checkpoint, share_of_retries


def store(run, seed: int, ended: str) -> Episode:
    return Episode.objects.create(
        run=run,
        shard=run.shards.get(),
        task="crafter",
        world_version="w",
        seed=seed,
        policy="random",
        episode_return=0,
        outcome_reward=0,
        n_achievements=0,
        n_steps=1,
        n_turns=1,
        ended=ended,
        broken=ended in ("model_error", "cancelled"),
        started_at=now() - timedelta(minutes=1),
        storage_key="",
        payload_sha256="",
        payload_size=0,
    )


@pytest.fixture
def run(make_run):
    """An ended run with a whole, a broken and a cut-off episode, and one never begun."""
    made = make_run()
    share = [{"seed": seed, "repeat": 0} for seed in (1, 2, 3, 4)]
    Shard.objects.filter(run=made).update(episodes=share)
    store(made, 1, "died")
    store(made, 2, "model_error")
    store(made, 3, "cancelled")
    finish_shard(claim_shard(worker="w", need=Need.ROLLOUT), ShardState.SUCCEEDED, values={})
    made.refresh_from_db()
    return made


def test_a_later_attempt_plays_only_what_was_cut_off_or_never_begun(run):
    assert finished_episodes(run, run.shards.get()) == [(1, 0), (2, 0)]


def test_retrying_plays_the_broken_ones_again_once(run, actor):
    run = retry_failed(run=run, actor=actor)
    run.refresh_from_db()
    assert run.state == RunState.QUEUED
    assert finished_episodes(run, run.shards.get()) == [(1, 0)]
    Episode.objects.filter(seed=2).update(started_at=now())  # played again, and broken again
    assert finished_episodes(run, run.shards.get()) == [(1, 0), (2, 0)]


def test_there_is_nothing_to_retry_when_nothing_broke(run, actor):
    Episode.objects.filter(ended="model_error").delete()
    with pytest.raises(Refused) as refusal:
        retry_failed(run=run, actor=actor)
    assert refusal.value.code == "nothing_broken"


def test_resuming_a_failed_run_plays_the_broken_ones_again(run, actor):
    Shard.objects.update(state=ShardState.FAILED)
    run.state = RunState.QUEUED
    run.save(update_fields=["state"])
    move_run(run, RunState.FAILED, error={"code": "model_error", "message": "", "hint": ""})
    resume_run(run=run, actor=actor)
    run.refresh_from_db()
    assert finished_episodes(run, run.shards.get()) == [(1, 0)]


def test_retrying_a_cancelled_run_plays_what_it_had_not_begun_too(run, actor):
    unplayed = Shard.objects.create(
        run=run, index=1, state=ShardState.CANCELLED, queued_at=now(), episodes=[]
    )
    retry_failed(run=run, actor=actor)
    unplayed.refresh_from_db()
    assert unplayed.state == ShardState.QUEUED


def test_shards_share_the_retries_that_the_run_has_left(make_run):
    made = make_run(3)
    Run.objects.filter(pk=made.pk).update(retry_budget=100)
    assert share_of_retries(made) == 34
    finish_shard(claim_shard(worker="w", need=Need.ROLLOUT), ShardState.SUCCEEDED, values={})
    Run.objects.filter(pk=made.pk).update(retries_used=20)
    assert share_of_retries(made) == 40
    Run.objects.filter(pk=made.pk).update(retries_used=130)
    assert share_of_retries(made) == 0


def test_a_training_whose_directory_is_gone_resumes_from_storage(claim, tmp_path):
    run, shard = Run.objects.get(), Shard.objects.get()
    saved = tmp_path / "trainer_state.json"
    saved.write_text('{"global_step": 40}')
    sha256 = storage.file_digest(saved)
    row = Checkpoint.objects.create(
        uid="ck_0123456789ab",
        project=run.project,
        model_id="ft:x:step_40",
        run=run,
        step=40,
        final=False,
    )
    row.files.create(
        path=saved.name,
        sha256=sha256,
        size=saved.stat().st_size,
        storage_key=storage.put_file(saved, sha256=sha256, prefix="checkpoints"),
    )
    resume = last_checkpoint(run, shard, claim.token + 1)
    assert resume is not None
    assert resume["step"] == 40
    assert (Path(resume["path"]) / saved.name).read_text() == '{"global_step": 40}'
    assert [file["sha256"] for file in resume["files"]] == [sha256]
