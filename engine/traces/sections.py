"""The sections of a trace's file: a table, then zlib over each; read as from a stranger.

Lives here: bytes <-> named sections. Not here: what a section says (`codec.py`, `pieces.py`).
Reading trusts nothing: sizes are checked before anything is unpacked, types before anything is
built, and whatever is odd becomes a StorageError that says what.

All integers are little-endian::

    magic b"SWTR" | version u8 | n_sections u8 | table | sections
    table row:      name 8 bytes (ASCII, zero-padded) | packed size u32 | plain size u32
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from engine.errors import StorageError

MAGIC = b"SWTR"
VERSION = 1
# An episode of 10,000 steps has 1 MB of views and some 50 MB of messages before packing.
MAX_PLAIN_BYTES = 256 * 1024 * 1024
_HEADER = struct.Struct("<4sBB")
_ROW = struct.Struct("<8sII")
_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}

T = TypeVar("T")


def join_sections(plain: Mapping[str, bytes]) -> bytes:
    """The file of these sections, in their order."""
    packed = {name: _pack(content) for name, content in plain.items()}
    table = b"".join(
        _ROW.pack(name.encode(), len(packed[name]), len(content)) for name, content in plain.items()
    )
    header = _HEADER.pack(MAGIC, VERSION, len(plain))
    return header + table + b"".join(packed.values())


def _pack(content: bytes) -> bytes:
    """zlib with a window of the content's size: to clear the largest takes 30 us a section."""
    bits = len(content).bit_length()
    packer = zlib.compressobj(6, zlib.DEFLATED, min(15, max(9, bits)), 8 if bits > 14 else 5)
    return packer.compress(content) + packer.flush()


def read_table(data: bytes) -> list[tuple[str, int, int, int]]:
    """(name, offset, packed size, plain size) of every section, checked against the file's size."""
    if len(data) < _HEADER.size:
        raise odd(f"it has {len(data)} bytes, too few for a header")
    magic, version, n_sections = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise odd(f"it begins with {magic!r}, not {MAGIC!r}")
    if version != VERSION:
        raise odd(f"its version is {version}; this program reads version {VERSION}")
    offset = _HEADER.size + n_sections * _ROW.size
    if len(data) < offset:
        raise odd("it is cut off in its table")
    rows = []
    for index in range(n_sections):
        raw, packed, plain = _ROW.unpack_from(data, _HEADER.size + index * _ROW.size)
        rows.append((raw.rstrip(b"\0").decode("ascii", "replace"), offset, packed, plain))
        offset += packed
    if offset != len(data):
        raise odd(f"it has {len(data)} bytes where its table says {offset}")
    if sum(row[3] for row in rows) > MAX_PLAIN_BYTES:
        raise odd(f"it would unpack to more than {MAX_PLAIN_BYTES} bytes")
    return rows


def read_section(data: bytes, wanted: str) -> bytes:
    """The plain content of a section, checked against its size in the table."""
    packed, plain = _find(data, wanted)
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(packed, plain + 1)
    except zlib.error as err:
        raise odd(f"its section {wanted} is damaged ({err})") from err
    if len(content) != plain or not unpacker.eof:
        raise odd(f"its section {wanted} is not {plain} bytes long")
    return content


def _load(data: bytes, name: str) -> Any:
    try:
        return json.loads(read_section(data, name))
    except (ValueError, RecursionError) as err:
        raise odd(f"its section {name} is no JSON ({type(err).__name__})") from err


def load_object(data: bytes, name: str) -> dict[str, Any]:
    return build(dict[str, Any], _load(data, name), name)


def load_list(data: bytes, name: str) -> list[Any]:
    """The section `name`, which must be a JSON list."""
    found = _load(data, name)
    if not isinstance(found, list):
        raise odd(f"its {name} are no list")
    return found


def packed_section(data: bytes, wanted: str) -> bytes:
    """A section as it stands in the file, not unpacked."""
    return _find(data, wanted)[0]


def _find(data: bytes, wanted: str) -> tuple[bytes, int]:
    """(a section as it stands in the file, its plain size)."""
    for name, at, packed, plain in read_table(data):
        if name == wanted:
            return data[at : at + packed], plain
    raise odd(f"it has no section {wanted}")


def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Building one takes 10 ms, so each is built once, when it is first needed."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def build(kind: type[T], value: Any, where: str) -> T:
    """`value` as `kind`, types checked. Raises StorageError that names the field."""
    try:
        built: T = _adapter(kind).validate_python(value)
        return built
    except (ValidationError, RecursionError) as err:
        detail = err.errors()[0]["msg"] if isinstance(err, ValidationError) else "nested too deep"
        raise odd(f"its {where} has the wrong shape ({detail})") from err


def odd(what: str) -> StorageError:
    return StorageError(
        f"This is no readable trace: {what}.",
        hint="The file was damaged or not written by this program; play the episode again.",
        retryable=False,
        code="bad_trace",
    )
