"""Putting records into storage as one version: streamed, hashed, packed, once."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction

from apps.accounts.models import Project
from apps.datasets.models import Dataset, DatasetEpisode
from apps.runs import storage
from engine.errors import StorageError
from synthweb.bell import ring

PREFIX = "datasets"
MAX_TRIES = 5


class World(NamedTuple):
    """A game that went in, for lineage and leak check; `episode_id` is None for foreign ones."""

    episode_id: int | None
    task: str
    world_version: str
    seed: int
    n_records: int


class Written(NamedTuple):
    """What was put into storage. `sha256` is of the plain lines."""

    sha256: str
    size_bytes: int
    storage_key: str


class LineWriter:
    """Takes lines, counts and hashes them, packs them. The same lines give the same file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._raw = path.open("wb")
        self._file = gzip.GzipFile(filename="", fileobj=self._raw, mode="wb", mtime=0)
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def write(self, line: bytes) -> None:
        self._file.write(line)
        self._digest.update(line)
        self.size_bytes += len(line)

    def close(self) -> None:
        self._file.close()
        self._raw.close()

    def store(self) -> Written:
        """Close the file and put it into storage."""
        self.close()
        packed = storage.file_digest(self.path)
        key = storage.put_file(self.path, sha256=packed, prefix=PREFIX)
        return Written(self._digest.hexdigest(), self.size_bytes, key)


@contextmanager
def line_writer() -> Iterator[LineWriter]:
    """A writer whose file is gone afterwards, whatever happens."""
    with storage.staging_file(".jsonl.gz") as path:
        writer = LineWriter(path)
        try:
            yield writer
        finally:
            writer.close()


def add_version(
    *, project: Project, name: str, written: Written, worlds: Iterable[World], **values: Any
) -> Dataset:
    """The dataset's row: the version with this content, or the next one.

    Safe to call twice: the same content under the same name is the same version.
    """
    for attempt in range(MAX_TRIES):
        try:
            with transaction.atomic():
                return _insert(project, name, written, worlds, values)
        except IntegrityError:
            if attempt == MAX_TRIES - 1:
                raise
    raise StorageError(f"Dataset {name} could not be stored.")  # pragma: no cover


def _insert(
    project: Project, name: str, written: Written, worlds: Iterable[World], values: dict[str, Any]
) -> Dataset:
    versions = Dataset.objects.filter(project=project, name=name)
    same = versions.filter(sha256=written.sha256).first()
    if same is not None:
        return same
    newest = versions.order_by("-version").first()
    dataset = Dataset.objects.create(
        project=project,
        name=name,
        version=newest.version + 1 if newest else 1,
        parent=newest,
        sha256=written.sha256,
        size_bytes=written.size_bytes,
        storage_key=written.storage_key,
        **values,
    )
    rows = [DatasetEpisode(dataset=dataset, **world._asdict()) for world in worlds]
    DatasetEpisode.objects.bulk_create(rows, batch_size=500)
    ring("pages:datasets")
    return dataset
