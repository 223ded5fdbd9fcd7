"""Storage on an object store: the same promises as in a folder, over real HTTP."""

from __future__ import annotations

import hashlib
import os
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError
from django.core.files.storage import default_storage
from django.utils.timezone import now

from apps.runs import backend, orphans, storage
from apps.runs.backend import clear_errors
from apps.runs.models import Artifact
from apps.runs.orphans import may_sweep, sweep_orphans
from engine.errors import StorageError
from tests.servers import s3

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server():
    with s3.serve() as started:
        yield started


@pytest.fixture
def bucket(server, settings):
    """The storage of this process is the server's bucket, empty."""
    for key in server.stored():
        server.client.delete_object(Bucket=s3.BUCKET, Key=key)
    options = {"bucket_name": s3.BUCKET, "endpoint_url": server.endpoint, "file_overwrite": False,
               "access_key": s3.KEY["aws_access_key_id"],
               "secret_key": s3.KEY["aws_secret_access_key"]}  # fmt: skip
    store = {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "default": store}
    return server


@pytest.fixture
def put(tmp_path):
    def make(content: bytes) -> str:
        (tmp_path / "in").write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        return storage.put_file(tmp_path / "in", sha256=sha256, prefix="artifacts")

    return make


def test_a_file_put_twice_is_one_object_and_streams_back(bucket, put):
    content = os.urandom(12 << 20)  # more than one part of an upload
    key = put(content)
    assert put(content) == key
    assert bucket.stored() == [key]
    pieces = list(storage.open_stream(key))
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= storage.CHUNK
    assert storage.free_space() is None


def test_a_wrong_hash_is_refused_and_leaves_nothing(bucket, tmp_path):
    (tmp_path / "in").write_bytes(b"hello")
    with pytest.raises(StorageError, match="announced"):
        storage.put_file(tmp_path / "in", sha256="0" * 64, prefix="artifacts")
    assert bucket.stored() == []


def test_a_copy_on_this_machine_is_checked_and_made_once(bucket, put, tmp_path):
    key = put(b"hello")
    path = storage.local_path(key, tmp_path / "cache")
    assert path.read_bytes() == b"hello"
    storage.place(key, tmp_path / "out" / "a.bin")
    assert (tmp_path / "out" / "a.bin").read_bytes() == b"hello"
    bucket.client.put_object(Bucket=s3.BUCKET, Key=key, Body=b"jello")
    assert storage.local_path(key, tmp_path / "cache") == path
    with pytest.raises(StorageError, match="announced"):
        storage.place(key, tmp_path / "out" / "b.bin")
    assert not (tmp_path / "out" / "b.bin").exists()


def test_what_is_deleted_is_gone_and_said_to_be(bucket, put, tmp_path):
    key = put(b"hello")
    assert storage.exists(key)
    storage.delete(key)
    storage.delete(key)
    assert not storage.exists(key)
    for read in (storage.open_stream, storage.read_bytes):
        with pytest.raises(StorageError, match="not in storage"):
            read(key)
    with pytest.raises(StorageError, match="not in storage"):
        storage.local_path(key, tmp_path)


def test_a_store_that_is_away_is_a_fault_that_passes(bucket, put, settings):
    options = {**settings.STORAGES["default"]["OPTIONS"], "endpoint_url": "http://127.0.0.1:9"}
    store = {**settings.STORAGES["default"], "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "default": store}
    with pytest.raises(StorageError) as put_away:
        put(b"hello")
    assert put_away.value.retryable
    with pytest.raises(StorageError) as read_away:
        storage.read_bytes(f"artifacts/ab/{'ab' * 32}")
    assert read_away.value.retryable


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "RequestTimeTooSkewed"), (400, "ExpiredToken"), (404, "NoSuchBucket")],
)
def test_a_store_that_refuses_can_be_mended_so_nothing_is_given_up(status, code):
    """A fault that does not pass makes ingest drop what was announced."""
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(StorageError, match=code) as refused, clear_errors("checkpoints/x"):
        raise ClientError(answer, "PutObject")
    assert refused.value.retryable


@pytest.mark.django_db
def test_orphans_are_swept_after_a_day_and_a_put_renews_them(bucket, put, make_run, monkeypatch):
    orphan, named, again = put(b"orphan"), put(b"named"), put(b"again")
    Artifact.objects.create(
        run=make_run(), role="log", path="x", sha256=named[-64:], size=5, storage_key=named
    )
    assert may_sweep()
    assert sweep_orphans() == 0
    tomorrow = now() + timedelta(days=1, seconds=2)
    monkeypatch.setattr(backend, "now", lambda: tomorrow)  # an old object is uploaded anew
    before = default_storage.get_modified_time(again)
    wait_a_second()
    assert put(b"again") == again
    renewed = default_storage.get_modified_time(again)
    assert renewed > before
    monkeypatch.setattr(orphans, "now", lambda: renewed + orphans.GRACE)
    assert sweep_orphans() == 1
    assert sorted(bucket.stored()) == sorted([named, again, orphans.OWNER])
    assert not storage.exists(orphan)


def wait_a_second() -> None:
    """An object's time has whole seconds."""
    second = int(now().timestamp())
    while int(now().timestamp()) == second:
        pass
