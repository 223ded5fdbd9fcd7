"""The curves of a run of several shards are over all of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from apps.runs.ingest import Source, ingest_ready
from apps.runs.models import Need, Run
from apps.runs.queries import list_points
from apps.runs.services import Claim, ShardPlan, claim_shard, create_run, queue_run
from engine.events import EventWriter
from engine.traces.codec import encode_trace
from tests.games import make_trace

pytestmark = pytest.mark.django_db


class Player:
    """A shard that tells of its games as the engine does."""

    def __init__(self, claim: Claim, folder: Path) -> None:
        folder.mkdir()
        self.claim, self.folder = claim, folder
        self.writer = EventWriter(folder)
        self.counts: list[int] = []

    def finish(self, seed: int, unlocks: list[str], **more: str) -> None:
        """One more game: its trace, its episode, the shard's own running mean."""
        trace = make_trace(seed, unlocks=unlocks, **more)
        data = encode_trace(trace)
        (self.folder / f"{seed}").write_bytes(data)
        file = {"path": str(seed), "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        summary = json.loads(json.dumps(trace.summary.to_json()))
        self.writer.write("episode", {"summary": summary, "payload": file})
        self.counts.append(len(unlocks))
        mean = sum(self.counts) / len(self.counts)
        self.writer.metric(len(self.counts), {"episodes.achievements": mean})
        ingest_ready(Source(self.claim.attempt_id, self.folder), self.claim)


def start(project, tmp_path: Path, n_shards: int) -> list[Player]:
    plans = [ShardPlan(need=Need.ROLLOUT, total=9) for _ in range(n_shards)]
    fields = {"kind": "eval", "name": "an eval", "resolved": {}, "inputs": {}}
    queue_run(run=create_run(project=project, user=None, config=None, shards=plans, **fields))
    claims = [claim_shard(worker="one", need=Need.ROLLOUT) for _ in plans]
    return [Player(claim, tmp_path / str(i)) for i, claim in enumerate(claims)]


def curve(name: str = "episodes.achievements") -> list[tuple[int, float]]:
    points = list_points(run=Run.objects.get(), names=[name])
    return [(point.step, point.value) for point in points]


def test_shards_share_one_curve_over_all_their_episodes(project, tmp_path):
    one, two = start(project, tmp_path, 2)
    one.finish(1, ["collect_wood", "place_table"])
    two.finish(2, [])
    two.finish(3, [])
    one.finish(4, ["collect_wood", "place_table"])
    assert curve() == [(1, 2.0), (2, 1.0), (3, pytest.approx(2 / 3)), (4, 1.0)]


def test_a_broken_episode_is_counted_and_not_scored(project, tmp_path):
    one, two = start(project, tmp_path, 2)
    one.finish(1, ["collect_wood"])
    two.finish(2, [], ended="model_error")
    assert curve() == [(1, 1.0), (2, 1.0)]
    assert curve("episodes.broken") == [(1, 0.0), (2, 1.0)]


def test_a_single_shard_keeps_the_curve_that_it_tells(project, tmp_path):
    [one] = start(project, tmp_path, 1)
    one.finish(1, ["collect_wood", "place_table"])
    one.finish(2, [])
    assert curve() == [(1, 2.0), (2, 1.0)]
