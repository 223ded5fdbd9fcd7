"""How many numbers a GGUF file holds, by its header alone: nothing is unpacked.

The format: github.com/ggml-org/ggml, docs/gguf.md. Its weights are read by `engine/train`.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any, BinaryIO

MAX_HEADER_BYTES = 64 << 20
MAX_DIMENSIONS = 8  # the format has 4
WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes, by type
STRING, ARRAY = 8, 9


def read_gguf_count(path: Path) -> int:
    """The numbers of all tensors. Raises ValueError when it is no GGUF file, OSError."""
    with path.open("rb") as file:
        magic, version, n_tensors, n_values = _take(file, "<4sIQQ")
        if magic != b"GGUF" or version not in (2, 3):
            raise ValueError("it does not begin as GGUF of version 2 or 3 does")
        for _ in range(n_values):
            _skip(file, STRING)
            _skip(file, _take(file, "<I")[0])
        return sum(_tensor(file) for _ in range(n_tensors))


def _tensor(file: BinaryIO) -> int:
    _skip(file, STRING)
    (n_dimensions,) = _take(file, "<I")
    if n_dimensions > MAX_DIMENSIONS:
        raise ValueError(f"a tensor of {n_dimensions} dimensions")
    shape = _take(file, f"<{n_dimensions}Q")
    _take(file, "<IQ")  # its type, and where it lies
    return math.prod(shape)


def _skip(file: BinaryIO, kind: int, n: int = 1) -> None:
    """Go past n values of a type."""
    if kind in WIDTHS:
        _forward(file, n * WIDTHS[kind])
    elif kind == STRING:
        for _ in range(n):
            _forward(file, _take(file, "<Q")[0])
    elif kind == ARRAY:
        for _ in range(n):
            inner, length = _take(file, "<IQ")
            _skip(file, inner, length)
    else:
        raise ValueError(f"a value of the unknown type {kind}")


def _forward(file: BinaryIO, n_bytes: int) -> None:
    file.seek(min(n_bytes, MAX_HEADER_BYTES), 1)


def _take(file: BinaryIO, form: str) -> tuple[Any, ...]:
    if file.tell() > MAX_HEADER_BYTES:
        raise ValueError(f"a header of more than {MAX_HEADER_BYTES >> 20} MiB")
    raw = file.read(struct.calcsize(form))
    if len(raw) < struct.calcsize(form):
        raise ValueError("it is cut off")
    return struct.unpack(form, raw)
