"""The storage that is configured: a folder, or an object store that speaks S3.

Lives here: which of the two it is, and the calls that only an object store has. What is stored and
under which names: `storage.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from django.core.files.storage import FileSystemStorage, default_storage
from django.utils.timezone import now

from engine.errors import StorageError

# Where the errors of django-storages' client are defined; it is loaded where S3 is used only.
CLIENT = frozenset(("boto3", "botocore", "s3transfer", "urllib3"))
ABSENT = ("NoSuchKey", "404")  # of the content; a bucket that is not there can be mended
RENEW_AFTER = timedelta(hours=12)  # half of what a sweep lets an orphan live (orphans.py)


def folder() -> Path | None:
    """The folder that storage is; None for an object store."""
    found = _backend()
    return Path(found.location) if isinstance(found, FileSystemStorage) else None


@contextmanager
def clear_errors(key: str) -> Iterator[None]:
    """Raise what an object store, or the way to it, refuses as a StorageError.

    Retryable, also where a key or a bucket is refused: that can be mended, and a file that was
    announced must not be dropped meanwhile.
    """
    try:
        yield
    except Exception as err:
        if type(err).__module__.partition(".")[0] not in CLIENT:
            raise
        answer: dict[str, Any] = getattr(err, "response", {})  # none where nobody answered
        if answer.get("Error", {}).get("Code") in ABSENT:
            raise missing(key) from err
        hint = "Check SYNTHWEB_S3_BUCKET, its endpoint and keys, and that it answers."
        raise StorageError(f"{key}: {err}", hint=hint) from err


def missing(key: str) -> StorageError:
    """The error for a key that has no content."""
    return StorageError(f"{key} is not in storage", retryable=False)


def put_object(source: BinaryIO, key: str) -> None:
    """Upload, whole or not at all; an object that is there counts as put now."""
    with clear_errors(key):
        if default_storage.exists(key):
            age = now() - default_storage.get_modified_time(key)
            if age < RENEW_AFTER:
                return
        _client().upload_fileobj(source, _backend().bucket_name, key)


def open_object(key: str) -> BinaryIO:
    """A stream of its bytes."""
    with clear_errors(key):
        body: BinaryIO = _client().get_object(Bucket=_backend().bucket_name, Key=key)["Body"]
        return body


def objects_before(moment: datetime) -> Iterator[str]:
    """Keys of all objects that were put before then."""
    with clear_errors("the list of files"):
        for found in _backend().bucket.objects.all():
            if found.last_modified < moment:
                yield found.key


def _client() -> Any:
    return _backend().connection.meta.client


def _backend() -> Any:
    """The storage behind Django's lazy proxy (settings may change in tests)."""
    default_storage.exists  # noqa: B018  (makes the proxy build its backend)
    return default_storage._wrapped  # type: ignore[attr-defined]
