"""Real games through the whole path: config, launch, worker, engine, ingest, scores."""

from __future__ import annotations

import threading

import pytest

from apps.launch.services import import_config, launch
from apps.runs.models import LiveView, Need, Run, RunState
from apps.runs.queries import list_events
from apps.runs.services import claim_shard
from apps.traces.models import Episode
from apps.worker.supervise import supervise

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

EVAL = """
type = "eval"
task = "crafter"
model = "random"
seeds = [900001, 900002, 900003]
max_turns = 5
"""


@pytest.fixture
def played(actor) -> Run:
    """An eval of three short random games, played to its end."""
    config = import_config(actor=actor, text=EVAL, name="eval.toml")
    run = launch(actor=actor, config=config)
    supervise(claim_shard(worker="one", need=Need.ROLLOUT), threading.Event())
    run.refresh_from_db()
    return run


def test_an_eval_is_played_stored_and_scored(played):
    assert (played.state, played.error) == (RunState.SUCCEEDED, None)
    assert Episode.objects.filter(run=played).count() == 3
    assert (played.progress_done, played.progress_total) == (3, 3)
    assert played.result["n"] == 3
    assert "unique" in played.result
    assert not LiveView.objects.exists()
    episodes = [event for event in list_events(run=played) if event.type == "episode"]
    assert {event.data["episode_id"] for event in episodes} == set(
        Episode.objects.values_list("id", flat=True)
    )
