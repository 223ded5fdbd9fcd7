"""R29: a stored episode is re-simulated to the same hashes in a fresh process, or says why not.

From a config through launch, worker, engine child, ingest and storage to the verification.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest
from django.db import connection

from apps.launch.services import import_config, launch
from apps.runs import storage
from apps.runs.models import Run, RunState
from apps.runs.services import claim_shard
from apps.traces.models import Episode
from apps.traces.queries import load_trace
from apps.traces.services import request_verify, request_verify_run
from apps.worker.supervise import supervise
from engine.traces.codec import encode_trace

pytestmark = pytest.mark.django_db(transaction=True)

CONFIG = """
type = "rollout"
provider = "builtin"
model = "{model}"
observation = "compact"
seeds = "500..{last}"
max_steps = 40
max_turns = 20
"""


def work_off() -> None:
    """Do all queued shards, each in an engine process of its own, as a worker does."""
    while claim := claim_shard(worker="one", need="rollout"):
        supervise(claim, threading.Event())
    assert connection.connection is not None


def play(actor, n: int, model: str = "guide") -> Run:
    text = CONFIG.format(model=model, last=500 + n - 1)
    config = import_config(actor=actor, text=text, name="games.toml")
    run = launch(actor=actor, config=config)
    work_off()
    run.refresh_from_db()
    assert run.state == RunState.SUCCEEDED, run.error
    return run


def test_an_untouched_episode_verifies_and_says_how_many_steps(actor):
    run = play(actor, 2)
    assert run.result["n"] == 2
    episode = run.episodes.get(seed=501)
    verify = request_verify(episode=episode, actor=actor)
    work_off()
    episode.refresh_from_db()
    verify.refresh_from_db()
    assert (verify.state, verify.result["n_ok"]) == (RunState.SUCCEEDED, 1)
    assert episode.verified is True
    assert episode.verify_note == f"re-simulated {episode.n_steps} steps to the same hashes"
    assert run.episodes.get(seed=500).verified is None


def test_a_changed_action_is_found_at_its_step(actor, tmp_path):
    episode = play(actor, 1).episodes.get()
    trace = load_trace(episode)
    moves = [step for step in trace.steps if step.action.startswith("move_")]
    # Looking another way is a difference even where the way is blocked.
    moves[0].action = "move_left" if moves[0].action != "move_left" else "move_right"
    _store(episode, encode_trace(trace), tmp_path)
    request_verify(episode=episode, actor=actor)
    work_off()
    episode.refresh_from_db()
    assert episode.verified is False
    assert episode.verify_note.startswith(f"step {trace.steps.index(moves[0])}")


def test_a_payload_that_is_no_trace_is_unverified_with_the_reason(actor, tmp_path):
    episode = play(actor, 1, "random").episodes.get()
    _store(episode, b"not a trace", tmp_path)
    request_verify(episode=episode, actor=actor)
    work_off()
    episode.refresh_from_db()
    assert episode.verified is False
    assert episode.verify_note


@pytest.mark.slow
def test_fifty_episodes_of_two_policies_verify_in_fresh_processes(actor):
    for model in ("guide", "random"):
        request_verify_run(run=play(actor, 25, model), actor=actor)
    work_off()
    assert set(Episode.objects.values_list("verified", flat=True)) == {True}
    assert Episode.objects.count() == 50


def _store(episode: Episode, data: bytes, folder: Path) -> None:
    """Put another payload behind the row, consistently, as somebody with access could."""
    path = folder / "payload"
    path.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    key = storage.put_file(path, sha256=sha256, prefix="episodes")
    Episode.objects.filter(pk=episode.pk).update(
        storage_key=key, payload_sha256=sha256, payload_size=len(data)
    )
    episode.refresh_from_db()
