"""Content-addressed storage: whole files only, one copy, no foreign paths."""

from __future__ import annotations

import hashlib
import os

import pytest

from apps.runs import storage
from engine.errors import StorageError


@pytest.fixture
def files(tmp_path, settings):
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "files", "base_url": None},
        },
    }
    return tmp_path / "files"


def _file(tmp_path, content=b"hello"):
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()


def test_a_file_put_twice_is_one_file_and_streams_back(files, tmp_path):
    path, sha256 = _file(tmp_path, os.urandom(600_000))
    key = storage.put_file(path, sha256=sha256, prefix="runs")
    assert storage.put_file(path, sha256=sha256, prefix="runs") == key
    assert b"".join(storage.open_stream(key)) == path.read_bytes()
    assert [p.name for p in files.rglob("*") if p.is_file()] == [sha256]


def test_a_wrong_hash_is_refused_and_leaves_nothing(files, tmp_path):
    path, _ = _file(tmp_path)
    with pytest.raises(StorageError, match="announced"):
        storage.put_file(path, sha256="0" * 64, prefix="runs")
    assert [p for p in files.rglob("*") if p.is_file()] == []


def test_a_torn_copy_is_replaced_by_the_whole_one(files, tmp_path):
    path, sha256 = _file(tmp_path)
    torn = files / "runs" / sha256[:2] / sha256
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b"he")
    key = storage.put_file(path, sha256=sha256, prefix="runs")
    assert storage.read_bytes(key) == b"hello"


def test_a_link_is_never_followed(files, tmp_path):
    path, sha256 = _file(tmp_path)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(StorageError, match="plain file"):
        storage.put_file(tmp_path / "link", sha256=sha256, prefix="runs")


@pytest.mark.parametrize("key", ["../../etc/passwd", "runs/ab/../../x", "/etc/passwd", "runs/ab"])
def test_only_keys_of_ours_are_read(files, key):
    with pytest.raises(StorageError, match="no storage key"):
        storage.open_stream(key)


def test_a_placed_file_is_checked(files, tmp_path):
    path, sha256 = _file(tmp_path)
    key = storage.put_file(path, sha256=sha256, prefix="runs")
    storage.place(key, tmp_path / "out" / "a.bin")
    assert (tmp_path / "out" / "a.bin").read_bytes() == b"hello"
    (files / key).write_bytes(b"jello")
    with pytest.raises(StorageError, match="announced"):
        storage.place(key, tmp_path / "out" / "b.bin")


def test_no_room_is_said_in_words(files, tmp_path, monkeypatch):
    path, sha256 = _file(tmp_path)
    full = OSError(28, "No space left on device")

    def refuse(_fd):
        raise full

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match="No space left"):
        storage.put_file(path, sha256=sha256, prefix="runs")
    assert [p for p in files.rglob("*") if p.is_file()] == []
