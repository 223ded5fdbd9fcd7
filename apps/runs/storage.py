"""Files of runs, datasets and checkpoints, addressed by their content; a folder or S3.

Lives here: putting a file in, streaming it out, laying it on this machine's disk. Rows that name
a key live in the rooms that own them. A key is `prefix/ab/<sha256>`, so the same content is stored
once, a repeated put changes nothing, and no name that a stranger chose ever becomes a path. What
no row names any more is swept by `orphans.py`.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.core.files.storage import default_storage

from apps.runs import backend
from engine.errors import StorageError

CHUNK = 256 * 1024
_KEY = re.compile(r"[a-z][a-z0-9_-]{0,30}/[0-9a-f]{2}/[0-9a-f]{64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def put_file(path: Path, *, sha256: str, prefix: str) -> str:
    """Store a file under its content and return its key.

    Safe to call twice and from many processes: the same content has one key, and a reader sees
    either nothing or the whole file. Raises StorageError when the content is not `sha256`, when
    `path` is no plain file (links are refused), or when there is no room.
    """
    key = key_for(sha256, prefix)
    with _open_plain(path) as source, _clear_errors(f"storing {path.name}"):
        stored = _local_file(key)
        if stored is None:
            _put_remote(source, key, sha256, path.name)
        elif not (_same_size(stored, source) and _renew(stored)):
            _put_local(source, stored, sha256, path.name)
        else:
            _check(_digest(source), sha256, path.name)
    return key


def key_for(sha256: str, prefix: str) -> str:
    """The key of a content. Raises StorageError for what is no SHA-256 or no plain prefix."""
    key = f"{prefix}/{sha256[:2]}/{sha256}"
    if not _SHA256.fullmatch(sha256) or not _KEY.fullmatch(key):
        raise StorageError(f"{key!r} is no storage key", retryable=False)
    return key


def sha256_of_key(key: str) -> str:
    """The hash of the content that a key names."""
    return _checked(key)[-64:]


def open_stream(key: str) -> Iterator[bytes]:
    """Yield the content in pieces of up to 256 KiB, without loading it whole.

    Raises StorageError before the first piece when there is no such file.
    """
    return _pieces(_open_key(key), key)


def read_bytes(key: str, *, limit: int = 256 * 1024 * 1024) -> bytes:
    """The whole content of a small file. Raises StorageError when missing or above `limit`."""
    data = bytearray()
    for piece in open_stream(key):
        data += piece
        if len(data) > limit:
            raise StorageError(f"{key} is larger than {limit} bytes", retryable=False)
    return bytes(data)


def local_path(key: str, cache_dir: Path) -> Path:
    """A path on this machine with the content; treat it as read-only.

    With a folder as storage it is the stored file itself, else a copy in `cache_dir`, whose hash
    is checked when it is made. Safe to call from many processes at once.
    """
    stored = _local_file(_checked(key))
    if stored is not None:
        if not stored.exists():
            raise backend.missing(key)
        return stored
    target = cache_dir / key
    if not target.exists():
        _download(key, target)
    return target


def place(key: str, target: Path) -> None:
    """Make `target` the content of `key`: a hard link where possible, else a copy; hash-checked.

    Raises StorageError when the stored content is damaged. `target` must not exist.
    """
    stored = _local_file(_checked(key))
    target.parent.mkdir(parents=True, exist_ok=True)
    if stored is None:
        _download(key, target)
        return
    if not stored.exists():
        raise backend.missing(key)
    with stored.open("rb") as source:
        _check(_digest(source), sha256_of_key(key), key)
    try:
        os.link(stored, target)
    except OSError:
        with _clear_errors(f"copying {key}"):
            shutil.copyfile(stored, target)


def exists(key: str) -> bool:
    """Whether the content is stored."""
    with backend.clear_errors(key):
        return bool(default_storage.exists(_checked(key)))


def delete(key: str) -> None:
    """Remove a content; the caller knows that no row names it any more. Safe to call twice."""
    with backend.clear_errors(key):
        default_storage.delete(_checked(key))


def free_space() -> int | None:
    """Bytes free where files are stored; None for an object store, which has no end."""
    root = backend.folder()
    if root is None:
        return None
    while not root.exists():
        root = root.parent
    return shutil.disk_usage(root).free


@contextmanager
def staging_file(suffix: str = "") -> Iterator[Path]:
    """A path below HOME/tmp for a file in the making; whatever is there afterwards is removed."""
    folder = settings.SYNTHWEB_HOME / "tmp"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{os.getpid()}-{secrets.token_hex(8)}{suffix}"
    try:
        with _clear_errors("writing a file"):
            yield path
    finally:
        path.unlink(missing_ok=True)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as source:
        return _digest(source)


def _put_local(source: BinaryIO, target: Path, sha256: str, name: str) -> None:
    """Copy beside the target, check, sync, rename: a torn file never has a key."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staged = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            digest = hashlib.sha256()
            while piece := source.read(CHUNK):
                digest.update(piece)
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
        _check(digest.hexdigest(), sha256, name)
        os.replace(staged, target)
    finally:
        staged.unlink(missing_ok=True)


def _put_remote(source: BinaryIO, key: str, sha256: str, name: str) -> None:
    """Upload to the object store, where a put is whole or not at all."""
    _check(_digest(source), sha256, name)
    source.seek(0)
    backend.put_object(source, key)


def _open_key(key: str) -> BinaryIO:
    stored = _local_file(_checked(key))
    if stored is not None:
        try:
            return stored.open("rb")
        except OSError as err:
            raise backend.missing(key) from err
    return backend.open_object(key)


def _pieces(source: BinaryIO, key: str) -> Iterator[bytes]:
    with source, backend.clear_errors(key):
        while piece := source.read(CHUNK):
            yield piece


def _download(key: str, target: Path) -> None:
    """Fetch to a staged name, check the hash, rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
    digest = hashlib.sha256()
    try:
        with _clear_errors(f"fetching {key}"), staged.open("wb") as out:
            for piece in open_stream(key):
                digest.update(piece)
                out.write(piece)
        _check(digest.hexdigest(), sha256_of_key(key), key)
        os.replace(staged, target)
    finally:
        staged.unlink(missing_ok=True)


def _open_plain(path: Path) -> BinaryIO:
    """Open a plain file; a link is refused, wherever it points."""
    try:
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    except (OSError, ValueError) as err:
        raise StorageError(f"{path.name}: cannot be read as a plain file: {err}") from err


@contextmanager
def _clear_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        hint = "Free some space, then resume." if err.errno in (28, 122) else ""
        raise StorageError(f"{doing}: {err.strerror or err}", hint=hint) from err


def _local_file(key: str) -> Path | None:
    """Where a key lies in the folder; None when storage is no folder."""
    return Path(default_storage.path(key)) if backend.folder() else None


def is_key(name: str) -> bool:
    """Whether a name is a storage key."""
    return _KEY.fullmatch(name) is not None


def _renew(stored: Path) -> bool:
    """Make a stored file count as put now, so that no sweep takes it; False when it is gone."""
    try:
        os.utime(stored)
    except FileNotFoundError:
        return False
    return True


def _same_size(stored: Path, source: BinaryIO) -> bool:
    with suppress(OSError):
        return stored.stat().st_size == os.fstat(source.fileno()).st_size
    return False


def _digest(source: BinaryIO) -> str:
    digest = hashlib.sha256()
    while piece := source.read(CHUNK):
        digest.update(piece)
    return digest.hexdigest()


def _check(found: str, expected: str, name: str) -> None:
    if found != expected:
        raise StorageError(
            f"{name}: its content is {found[:12]}…, announced was {expected[:12]}…",
            hint="The file is damaged or was changed after it was announced.",
            retryable=False,
        )


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise StorageError(f"{key!r} is no storage key", retryable=False)
    return key
