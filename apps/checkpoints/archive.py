"""All files of a checkpoint as one zip archive, made while it is sent: nothing is kept on disk."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

from apps.checkpoints.card import open_download
from apps.checkpoints.models import Checkpoint

STAMP = (1980, 1, 1, 0, 0, 0)  # the same checkpoint gives the same archive


def zip_checkpoint(checkpoint: Checkpoint) -> Iterator[bytes]:
    """The archive in pieces; weights do not compress, so nothing is compressed.

    Opens in a folder of the checkpoint's address. Memory: one piece of a file at a time.
    """
    files = checkpoint.files.select_related(
        "checkpoint__base", "checkpoint__weights", "checkpoint__run"
    )
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for file in files.order_by("path"):
            content, _size = open_download(file)
            entry = zipfile.ZipInfo(f"{checkpoint.uid}/{file.path}", STAMP)
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w", force_zip64=True) as target:
                for piece in content:
                    target.write(piece)
                    yield sink.take()
            yield sink.take()
    yield sink.take()


class _Sink(io.RawIOBase):
    """Where the archive is written: kept until taken. Cannot seek, so zipfile never goes back."""

    def __init__(self) -> None:
        self._kept: list[bytes] = []

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._kept.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """What was written since the last time."""
        taken, self._kept = b"".join(self._kept), []
        return taken
