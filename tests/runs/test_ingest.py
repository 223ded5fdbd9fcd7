"""From events.jsonl to rows: exactly once, in one sequence, whatever crashed in between."""

from __future__ import annotations

import hashlib

import pytest

from apps.runs import storage
from apps.runs.ingest import Source, ingest_batch, ingest_ready
from apps.runs.ingest.batch import MAX_EVENTS
from apps.runs.models import (
    Artifact,
    Attempt,
    Event,
    MetricPoint,
    MetricSeries,
    Need,
    Run,
    Shard,
)
from apps.runs.queries import list_events, list_points
from apps.runs.services import add_event, claim_shard, requeue_lost
from engine.errors import LeaseLost
from engine.events import EventWriter
from tests.runs.conftest import expire_lease

KEY = ["crafter", "crafter-1.8.3+d1", 7, 0, 0]


def test_events_get_one_sequence_with_those_of_the_web(claim, source, writer):
    run = Run.objects.get()
    writer.log("one")
    writer.metric(1, {"loss": 2.0, "reward": 0.5})
    ingest_ready(source, claim)
    add_event(run, "log", {"level": "info", "message": "from the web"})
    writer.log("two")
    ingest_ready(source, claim)
    events = list_events(run=run)
    assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event.type for event in events] == ["state", "state", "log", "metric", "log", "log"]
    assert events[3].data == {"step": 1, "values": {"loss": 2.0, "reward": 0.5}}


def test_ingesting_again_changes_nothing(claim, source, writer):
    for step in range(1, 11):
        writer.metric(step, {"loss": 1.0 / step})
    assert ingest_ready(source, claim) == 10
    assert ingest_ready(source, claim) == 0
    Attempt.objects.update(ingested_offset=0)  # as if the offset had been lost, but not the seq
    ingest_ready(source, claim)
    assert MetricPoint.objects.count() == 10
    assert MetricSeries.objects.get().n_points == 10


def test_a_batch_that_fails_leaves_no_trace(claim, source, writer, monkeypatch):
    writer.log("one")
    writer.metric(1, {"loss": 1.0})

    def explode(*args):
        raise RuntimeError("killed here")

    monkeypatch.setattr("apps.runs.ingest.batch.add_event_rows", explode)
    with pytest.raises(RuntimeError):
        ingest_ready(source, claim)
    assert not MetricPoint.objects.exists()
    seq = Run.objects.get().event_seq
    monkeypatch.undo()
    ingest_ready(source, claim)
    assert [e.seq for e in list_events(run=Run.objects.get(), after=seq)] == [seq + 1, seq + 2]


def test_a_torn_line_waits_for_its_end(claim, source, writer):
    writer.log("whole")
    with writer.path.open("ab") as file:
        file.write(b'{"seq": 2, "at": 1, "ty')
    assert ingest_ready(source, claim) == 1
    assert ingest_ready(source, claim) == 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"seq": 2, "at": 1, "ty\n', "Unterminated string"),
        (b"\xff\xfe\n", "can't decode byte"),
        (b"[1]\n", "it holds a list"),
        (b'{"seq": "2", "at": 1.0, "type": "log", "data": {}}\n', "its seq is '2'"),
        (b'{"seq": 2, "at": 1.0, "type": "secret", "data": {}}\n', "its type is 'secret'"),
        (b'{"seq": 2, "at": 1.0, "type": "log", "data": null}\n', "its data is a NoneType"),
    ],
)
def test_a_line_that_is_no_event_is_named_and_keeps_nothing_else_out(
    claim, source, writer, line, reason
):
    writer.log("before")
    with writer.path.open("ab") as file:
        file.write(line)
    writer.log("behind")
    writer.log("last")
    assert ingest_ready(source, claim) == 4
    assert ingest_ready(source, claim) == 0
    said = [e.data["message"] for e in list_events(run=Run.objects.get()) if e.type == "log"]
    assert said[:3] == ["before", "behind", "last"]
    assert said[3].startswith("Attempt 1, events.jsonl line 2 is no event and was skipped: ")
    assert reason in said[3]
    assert len(said) == 4


def test_a_line_that_stands_there_twice_counts_once(claim, source, writer):
    writer.metric(1, {"loss": 1.0})
    line = writer.path.read_bytes()
    with writer.path.open("ab") as file:
        file.write(line)
    ingest_ready(source, claim)
    assert MetricPoint.objects.count() == 1


def test_batches_are_bounded(claim, source, writer):
    for step in range(MAX_EVENTS + 5):
        writer.metric(step + 1, {"loss": 0.0})
    assert ingest_ready(source, claim) == MAX_EVENTS
    assert ingest_ready(source, claim) == 5
    assert MetricPoint.objects.count() == MAX_EVENTS + 5


def test_a_replaced_attempt_cannot_ingest(claim, source, writer):
    writer.log("late")
    expire_lease(claim)
    requeue_lost()
    new = claim_shard(worker="new", need=Need.ROLLOUT)
    with pytest.raises(LeaseLost):
        ingest_ready(source, claim)
    assert not Event.objects.filter(attempt__isnull=False).exists()
    assert ingest_ready(source, new) == 1  # the new holder finishes what the old one told


def test_series_know_their_figures(claim, source, writer):
    writer.metric(1, {"loss": 3.0})
    writer.metric(2, {"loss": 1.0})
    ingest_ready(source, claim)
    writer.metric(3, {"loss": 2.0})
    ingest_ready(source, claim)
    series = MetricSeries.objects.get()
    assert (series.n_points, series.last_step, series.last_value) == (3, 3, 2.0)
    assert (series.min_value, series.max_value) == (1.0, 3.0)
    assert [point.value for point in list_points(run=Run.objects.get())] == [3.0, 1.0, 2.0]


def test_an_announced_file_is_stored_with_its_row(claim, source, writer, tmp_path):
    (tmp_path / "report.txt").write_bytes(b"figures")
    sha256 = hashlib.sha256(b"figures").hexdigest()
    data = {"path": "report.txt", "sha256": sha256, "size": 7, "role": "report"}
    writer.write("artifact", data)
    ingest_ready(source, claim)
    artifact = Artifact.objects.get()
    assert storage.read_bytes(artifact.storage_key) == b"figures"


@pytest.mark.parametrize("path", ["missing.txt", "../outside.txt", "/etc/hostname"])
def test_an_announced_file_that_is_not_there_is_an_error_in_the_log(claim, source, writer, path):
    writer.write("artifact", {"path": path, "sha256": "0" * 64, "size": 7, "role": "report"})
    ingest_ready(source, claim)
    assert not Artifact.objects.exists()
    assert "dropped" in Event.objects.get(type="log").data["message"]


def test_progress_is_the_sum_of_the_shards(make_run, tmp_path):
    make_run(2)
    for n in range(2):
        claim = claim_shard(worker="w", need=Need.ROLLOUT)
        directory = tmp_path / str(n)
        directory.mkdir()
        writer = EventWriter(directory)
        writer.progress(n + 1, 3, "steps")
        writer.close()
        ingest_ready(Source(claim.attempt_id, directory), claim)
    run = Run.objects.get()
    assert (run.progress_done, run.progress_total, run.progress_unit) == (3, 6, "steps")


def test_progress_goes_back_when_games_are_played_again(make_run, tmp_path):
    run = make_run()
    for done in (3, 1):
        claim = claim_shard(worker="w", need=Need.ROLLOUT)
        directory = tmp_path / str(claim.token)
        directory.mkdir()
        writer = EventWriter(directory)
        writer.progress(done, 3, "episodes")
        writer.close()
        ingest_ready(Source(claim.attempt_id, directory), claim)
        expire_lease(claim)
        requeue_lost()
    run.refresh_from_db()
    assert (run.progress_done, run.progress_total) == (1, 3)


def test_retried_calls_are_counted_once_on_the_run(claim, source, writer):
    for retried in (2, 0, 3):
        writer.progress(1, 3, "episodes", retried=retried)
    ingest_ready(source, claim)
    ingest_ready(source, claim)
    assert Run.objects.get().retries_used == 5


def test_the_result_is_kept_before_the_shard_is_over(claim, source, writer):
    writer.write("result", {"ok": True, "values": {"steps": 3}, "error": None})
    ingest_ready(source, claim)
    assert Shard.objects.get().result == {"steps": 3}


def test_a_nul_in_a_message_is_stored(claim, source, writer):
    writer.log("a\0b")
    ingest_ready(source, claim)
    assert Event.objects.get(type="log").data["message"] == "a\ufffdb"


def test_events_before_the_known_seq_are_skipped(claim, source, writer):
    writer.log("one")
    writer.log("two")
    ingest_ready(source, claim)
    from engine.events import read_events

    both = list(read_events(writer.path))
    ingest_batch(source, [event for event, _ in both], both[-1][1], claim)
    assert Event.objects.filter(type="log").count() == 2
