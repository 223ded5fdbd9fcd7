"""R26: what no row names goes after a day, and nothing else, whoever puts it meanwhile."""

from __future__ import annotations

import hashlib
import os
import time

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from apps.accounts.models import Project
from apps.runs import orphans, storage
from apps.runs.models import Artifact
from apps.runs.orphans import may_sweep, named_among, naming_models, sweep_orphans
from tests.runs.test_storage import files

__all__ = ["files"]
pytestmark = pytest.mark.django_db
TWO_DAYS_S = 2 * 86400


@pytest.fixture
def put(files, tmp_path):
    """Store a content; as if two days ago."""

    def make(content: bytes, *, old: bool = True, prefix: str = "artifacts") -> str:
        (tmp_path / "in").write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        key = storage.put_file(tmp_path / "in", sha256=sha256, prefix=prefix)
        if old:
            make_old(files / key)
        return key

    return make


def make_old(path) -> None:
    moment = time.time() - TWO_DAYS_S
    os.utime(path, (moment, moment))


def name(run, key: str) -> Artifact:
    """Let a row name a stored file."""
    return Artifact.objects.create(
        run=run, role="log", path="x", sha256=key[-64:], size=1, storage_key=key
    )


def test_only_what_is_old_and_named_by_nobody_goes(put, make_run):
    orphan, young, named = put(b"orphan"), put(b"young", old=False), put(b"named")
    wanted = put(b"upload", prefix="imports")
    run = make_run()
    name(run, named)
    run.inputs = {"file": {"storage_key": wanted, "name": "x.db"}, "known": [1]}
    run.save(update_fields=["inputs"])
    assert sweep_orphans() == 1
    assert [storage.exists(key) for key in (orphan, young, named, wanted)] == [0, 1, 1, 1]
    assert sweep_orphans() == 0


def test_every_model_that_names_files_is_asked():
    found = {model.__name__ for model in naming_models()}
    assert found == {"Artifact", "CheckpointFile", "Dataset", "Episode"}


def test_more_than_one_batch_is_swept(put, make_run, monkeypatch):
    monkeypatch.setattr(orphans, "BATCH", 2)
    keys = [put(f"file {n}".encode()) for n in range(7)]
    run = make_run()
    for key in keys[::3]:
        name(run, key)
    assert sweep_orphans() == 4
    assert [storage.exists(key) for key in keys] == [n % 3 == 0 for n in range(7)]


def test_putting_an_old_orphan_again_keeps_it_for_another_day(put):
    key = put(b"again")
    assert put(b"again", old=False) == key
    assert sweep_orphans() == 0
    assert storage.exists(key)


@pytest.mark.parametrize("moment", ["before it is moved", "while it is away"])
def test_a_put_during_the_sweep_is_never_lost(put, monkeypatch, moment):
    """Between the look at the rows and the deletion somebody puts the very content."""
    key, asked = put(b"raced"), []

    def put_meanwhile(keys):
        asked.append(1)
        if len(asked) == (1 if moment == "before it is moved" else 2):
            put(b"raced", old=False)
        return set()

    monkeypatch.setattr(orphans, "named_among", put_meanwhile)
    sweep_orphans()
    assert len(asked) == 2
    assert storage.read_bytes(key) == b"raced"


def test_a_name_given_while_it_is_away_brings_it_back(put, make_run, monkeypatch):
    key, run, asked = put(b"named late"), make_run(), []

    def named_late(keys):
        asked.append(1)
        if len(asked) == 2:
            name(run, key)
        return named_among(keys)

    monkeypatch.setattr(orphans, "named_among", named_late)
    assert sweep_orphans() == 0
    assert storage.read_bytes(key) == b"named late"


def test_a_put_that_was_cut_off_goes_and_foreign_files_stay(put, files):
    key = put(b"whole")
    torn, foreign = files / f"{key[:-64]}.{key[-64:]}.12.ab", files / "backups" / "ab" / "mine.txt"
    foreign.parent.mkdir(parents=True)
    for path in (torn, foreign, files / "notes.txt"):
        path.write_bytes(b"x")
        make_old(path)
    sweep_orphans()
    assert [path.exists() for path in (torn, foreign, files / "notes.txt")] == [0, 1, 1]


def test_files_that_no_row_names_are_not_ours_unless_they_are_said_to_be(put, make_run, caplog):
    """A new database beside old storage, which has no owner yet, must not sweep all of it."""
    key = put(b"somebody's")
    assert not may_sweep()
    assert "put {" in caplog.text
    name(make_run(), key)
    assert may_sweep()


def test_what_a_cut_off_sweep_moved_aside_goes_back_when_it_is_named(put, make_run, files):
    keys = put(b"named meanwhile"), put(b"orphan")
    name(make_run(), keys[0])
    asides = []
    for key in keys:
        home = files / key
        asides.append(home.with_name(f".{home.name}.0123abcd.aside"))
        home.rename(asides[-1])
    sweep_orphans()
    assert [storage.exists(key) for key in keys] == [True, False]
    assert not any(aside.exists() for aside in asides)


def test_the_files_of_another_database_are_not_ours_to_sweep(files, project):
    assert may_sweep()
    assert may_sweep()
    default_storage.delete(orphans.OWNER)
    default_storage.save(orphans.OWNER, ContentFile(b'{"owner": "games 2020-01-01"}'))
    assert not may_sweep()
    Project.objects.all().delete()
    assert not may_sweep()
