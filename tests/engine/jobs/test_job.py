"""Files of a run: complete under their name or not there at all, never outside its folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import BinaryIO

import pytest

from engine.errors import Cancelled, StorageError
from engine.events import read_events
from engine.jobs.hub import stored_bytes
from engine.jobs.job import Job, check_room, open_job
from engine.lease import Cancellation


@pytest.fixture
def job(tmp_path: Path) -> Job:
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps({"kind": "noop"}))
    return open_job(directory, Cancellation())


def test_an_artifact_is_written_hashed_and_announced(job: Job):
    file = job.artifact("reports/a.txt", "words 🌲", "report")
    content = (job.directory / "reports/a.txt").read_bytes()
    assert content == "words 🌲".encode()
    assert (file["sha256"], file["size"]) == (hashlib.sha256(content).hexdigest(), len(content))
    (event,) = [event for event, _ in read_events(job.events.path)]
    assert event.data == {**file, "role": "report"}


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a/../../out", ".", "link/out"])
def test_a_path_that_leaves_the_directory_is_refused(job: Job, tmp_path: Path, path: str):
    (job.directory / "link").symlink_to(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StorageError, match="not below the run's directory"):
        job.write_file(path, b"x")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_write_that_fails_leaves_the_old_file_and_no_rest(job: Job):
    job.write_file("a", b"old")

    def fails(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(
        StorageError, match="a cannot be written: No space left on device"
    ) as caught:
        job.write_file("a", fails)
    assert "Make room" in caught.value.hint
    assert (job.directory / "a").read_bytes() == b"old"
    assert not list(job.directory.glob(".*.part"))


def test_room_for_what_a_file_may_unpack_to_is_said_to_be_an_estimate(tmp_path: Path):
    check_room(1, tmp_path, estimated=True)
    with pytest.raises(StorageError, match="estimate") as caught:
        check_room(10**18, tmp_path, estimated=True)
    assert "its header says how much" in caught.value.hint
    with pytest.raises(StorageError) as caught:
        check_room(10**18, tmp_path)
    assert "estimate" not in str(caught.value)


def test_what_lies_in_a_folder_is_counted_while_files_go(tmp_path: Path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "whole").write_bytes(b"1234")
    (tmp_path / "renamed").symlink_to(tmp_path / "gone")  # listed, but not there when it is asked
    assert stored_bytes(tmp_path) == 4
    assert stored_bytes(tmp_path / "gone") == 0


def test_the_wish_to_stop_reaches_everybody_once():
    cancelled, heard = Cancellation(), []
    cancelled.on_cancel(lambda: heard.append("early"))
    cancelled.check()
    cancelled.set()
    cancelled.set()
    cancelled.on_cancel(lambda: heard.append("late"))
    assert heard == ["early", "late"]
    assert cancelled.wait(0)
    with pytest.raises(Cancelled):
        cancelled.check()


def test_what_was_cut_off_is_played_again_by_the_same_directory(job: Job):
    for seed, ended in ((1, "max_turns"), (2, "cancelled"), (3, "model_error"), (4, "died")):
        summary = {"seed": seed, "repeat": 0, "ended": ended}
        file = job.write_file(f"episodes/{seed}", b"a trace", durable=False)
        job.events.write("episode", {"summary": summary, "payload": file})
    (job.directory / "episodes" / "4").write_bytes(b"a tr")  # torn by a power failure
    job.events.close()
    assert open_job(job.directory, Cancellation()).finished == {(1, 0), (3, 0)}
