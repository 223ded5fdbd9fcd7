"""R26 on this machine's disk: what stands for no row goes after a day, the rest stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from apps.runs.models import WorkerNode
from apps.worker.disk import sweep_disk
from apps.worker.tick import sweep_files
from tests.announce import announce
from tests.runs.test_storage import files
from tests.worker.conftest import make_run

__all__ = ["announce", "files", "make_run"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def home(settings, tmp_path) -> Path:
    settings.SYNTHWEB_HOME, settings.RUNS_DIR = tmp_path, tmp_path / "runs"
    return tmp_path


def leave(path: Path, *, days: int = 2) -> Path:
    """A file or (with a `.`-less name) a folder with a file, last changed some days ago."""
    moment = time.time() - days * 86400
    inside = path if path.suffix or len(path.name) == 64 else path / "x"
    inside.parent.mkdir(parents=True, exist_ok=True)
    inside.write_bytes(b"x")
    os.utime(path, (moment, moment))
    return path


def test_what_stands_for_no_row_goes_after_a_day(home, make_run, announce):
    run = make_run()
    gone = [
        leave(home / "runs" / "999"),
        leave(home / "tmp" / "12-ab.jsonl"),
        leave(home / "cache" / "checkpoints" / "ck_gone-7"),
        leave(home / "cache" / "checkpoints" / ".ck_cut_off-7.12.ab"),
        leave(home / "cache" / "datasets" / f"{'a' * 64}.jsonl"),
        leave(home / "cache" / "files" / "imports" / "bb" / f"{'b' * 64}"),
    ]
    kept = [
        leave(home / "runs" / str(run.pk)),
        leave(home / "runs" / "notes.txt"),
        leave(home / "runs" / "998", days=0),
        leave(home / "tmp" / "12-cd.jsonl", days=0),
        leave(home / "cache" / "checkpoints" / "ck_new-7", days=0),
    ]
    assert sweep_disk() == len(gone)
    assert [path for path in gone if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []


def test_all_files_are_looked_at_once_an_hour(home, files, project):
    leave(home / "tmp" / "12-ab.jsonl")
    assert sweep_files() == 1
    leave(home / "tmp" / "12-cd.jsonl")
    assert sweep_files() == 0
    assert WorkerNode.objects.filter(name="sweeper").exists()
