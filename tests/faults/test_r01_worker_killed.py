"""R1: a worker is killed; the shard is taken up again, and everything is counted once."""

from __future__ import annotations

import time

import pytest

from apps.launch.services import import_config, launch
from apps.runs.models import Attempt, MetricPoint, RunState
from apps.runs.queries import list_events
from apps.traces.models import Episode
from tests.faults.plant import engines, wait_for_state
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.slow


def test_r01_a_shard_whose_worker_was_killed_is_taken_up_again(plant, make_run):
    plant.start_ticker()
    first = plant.start_worker()
    run = make_run(resolved={"n_steps": 300, "step_s": 0.02})
    wait_until(lambda: MetricPoint.objects.count() > 10, "the first points")
    second = plant.start_worker()
    began = time.monotonic()
    plant.kill(first)
    wait_until(lambda: not engines(run) or Attempt.objects.count() > 1, "the child to die", 5)
    wait_until(lambda: Attempt.objects.count() == 2, "the second attempt", 60)
    assert time.monotonic() - began < 60
    wait_for_state(run, RunState.SUCCEEDED)
    assert second.poll() is None
    assert [a.outcome for a in Attempt.objects.order_by("number")] == ["lost", "succeeded"]
    events, after = [], 0
    while some := list_events(run=run, after=after):
        events += some
        after = some[-1].seq
    assert [event.seq for event in events] == list(range(1, run.event_seq + 1))
    assert run.result == {"steps": 300}


GAMES = """
type = "eval"
task = "crafter"
model = "random"
seeds = "900000..900039"
max_turns = 30
concurrency = 2
"""


def test_r01_finished_games_are_kept_and_every_game_is_counted_once(plant, actor):
    plant.start_ticker()
    first = plant.start_worker()
    config = import_config(actor=actor, text=GAMES, name="games.toml")
    run = launch(actor=actor, config=config)
    wait_until(lambda: Episode.objects.count() >= 5, "the first games", 120)
    plant.kill(first)
    kept = set(Episode.objects.values_list("id", flat=True))
    assert len(kept) < 40, "the games were over before the worker was killed"
    plant.start_worker()
    wait_for_state(run, RunState.SUCCEEDED, seconds=180)
    seeds = sorted(Episode.objects.filter(run=run).values_list("seed", flat=True))
    assert seeds == list(range(900_000, 900_040))
    assert kept <= set(Episode.objects.values_list("id", flat=True))
    assert run.result["n"] == 40
    assert (run.progress_done, run.progress_total) == (40, 40)
