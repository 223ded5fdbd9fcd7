"""One session of tracing v3 as rows: what readers give and the writer takes.

Lives here: the rows in memory, their JSON form, their hash. Not here: what they mean
(`building.py` makes them of a trace, `meaning.py` reads one from them).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.errors import StorageError
from engine.traces.v3.schema import COLUMNS, SESSION_TABLES, SHARED_TABLES

# A cell: None, int, float, str or bytes. JSON stays the text that was stored.
Row = dict[str, Any]
_BYTES = "$bytes"


@dataclass(slots=True)
class Session:
    """The row of `session_traces` and all rows that belong to it, by table, in order of id.

    Ids only link rows of this session; the writer may give others.
    """

    row: Row
    tables: dict[str, list[Row]] = field(default_factory=dict)

    @property
    def session_id(self) -> str:
        return str(self.row["session_id"])

    def rows(self, table: str) -> list[Row]:
        return self.tables.get(table, [])

    def to_json(self) -> dict[str, Any]:
        """Only lists, in the order of the columns: half the size of rows with names."""
        tables = {
            table: [_cells(table, row) for row in self.rows(table)]
            for table in (*SHARED_TABLES, *SESSION_TABLES)
            if self.rows(table)
        }
        return {"session": _cells("session_traces", self.row), "tables": tables}

    def digest(self) -> str:
        """sha256 over all rows, ids included: equal for the same session of the same file."""
        text = json.dumps(self.to_json(), ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def session_from_json(value: Mapping[str, Any]) -> Session:
    """The session that `to_json` wrote. Raises StorageError for anything else."""
    try:
        row = _row("session_traces", value["session"])
        tables = {
            table: [_row(table, cells) for cells in rows] for table, rows in value["tables"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise StorageError(
            "The rows that this trace was imported from cannot be read.",
            hint="Import its file again.",
            retryable=False,
            code="bad_trace",
        ) from err
    return Session(row, tables)


def loads(text: Any) -> Any:
    """The value of a JSON column; None for NULL and for what is no JSON."""
    if not isinstance(text, str | bytes):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def load_object(text: Any) -> dict[str, Any]:
    """The object in a JSON column; empty for anything else."""
    value = loads(text)
    return value if isinstance(value, dict) else {}


def _cells(table: str, row: Row) -> list[Any]:
    return [_plain(row.get(name)) for name in COLUMNS[table]]


def _row(table: str, cells: list[Any]) -> Row:
    return {name: _cell(cell) for name, cell in zip(COLUMNS[table], cells, strict=True)}


def _plain(cell: Any) -> Any:
    return {_BYTES: base64.b64encode(cell).decode()} if isinstance(cell, bytes) else cell


def _cell(cell: Any) -> Any:
    return base64.b64decode(cell[_BYTES]) if isinstance(cell, dict) else cell
