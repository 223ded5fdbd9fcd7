"""What a tracing v3 file must be, and the words for one that is not: file, place, why.

Lives here: header, tables, columns, cells. Not here: reading (`reader.py`).
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from engine.errors import StorageError
from engine.traces.v3.schema import (
    COLUMNS,
    EVENT_TYPES,
    JSON_COLUMNS,
    LINKS,
    MESSAGE_TYPES,
    REQUIRED,
    SESSION_TABLES,
)
from engine.traces.v3.session import Row

_HEADER = b"SQLite format 3\0"
_NUMBERS = frozenset((
    "num_timesteps", "num_events", "num_messages", "step_index", "turn_number", "event_time",
    "message_time", "input_tokens", "output_tokens", "total_tokens", "cost_usd", "latency_ms",
    "reward", "terminated", "truncated", "total_reward", "achievements_count", "total_steps",
    "reward_value",
))  # fmt: skip


def check_header(path: Path, name: str = "") -> None:
    """Refuse what is no SQLite file, or only the beginning of one."""
    called = Path(name or path)
    try:
        with path.open("rb") as file:
            header = file.read(100)
        size = path.stat().st_size
    except OSError as err:
        raise odd(called, "", f"it cannot be read ({err.strerror or err})") from err
    if header[:16] != _HEADER:
        raise odd(called, "", f"it begins with {header[:16]!r}, not with {_HEADER!r}")
    page = int.from_bytes(header[16:18], "big")
    page = 65536 if page == 1 else page
    pages = int.from_bytes(header[28:32], "big")
    counted = header[24:28] == header[92:96]  # else an old writer left no valid count
    if counted and size < pages * page:
        raise odd(called, "", f"it was cut off: {size} bytes of {pages * page}")


def check_tables(path: Path, db: sqlite3.Connection) -> None:
    """Refuse a database without the tables, columns and indexes of tracing v3."""
    kinds = {
        name: (kind, (sql or "").lower())
        for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_master")
    }
    tables = sorted(name for name, (kind, _) in kinds.items() if kind == "table")
    for table in ("session_traces", *SESSION_TABLES):
        kind, sql = kinds.get(table, ("", ""))
        if kind != "table" or sql.startswith("create virtual"):
            there = f"a {kind or 'virtual table'}" if kind and kind != "table" else "missing"
            said = f"table {table} is {there}; it has {', '.join(tables)[:200] or 'no tables'}"
            raise odd(path, "", said)
        known = {row[1] for row in db.execute(f"PRAGMA table_xinfo({table})")}
        missing = [name for name in COLUMNS[table] if name not in known]
        if missing:
            raise odd(path, table, f"it has no column {missing[0]}")
        if table != "session_traces" and not _has_index(db, table):
            said = f'no index begins with session_id; "CREATE INDEX i ON {table}(session_id)" helps'
            raise odd(path, table, said)


def check_row(path: Path, table: str, row: Row) -> None:
    """Refuse a row that v3 does not allow, naming its column and what is wrong with it."""
    for column, cell in row.items():
        said = ""
        if cell is None:
            said = "it must not be NULL" if column in REQUIRED[table] else ""
        elif column == "id" or column in LINKS:
            said = "" if isinstance(cell, int) else f"{cell!r:.60} is no whole number"
        elif column in _NUMBERS:
            said = "" if isinstance(cell, int | float) else f"{cell!r:.60} is no number"
        elif column in JSON_COLUMNS[table]:
            said = _json_mistake(cell)
        elif column == "event_type" and cell not in EVENT_TYPES:
            said = f"{cell!r:.60} is none of {', '.join(sorted(EVENT_TYPES))}"
        elif column == "message_type" and cell not in MESSAGE_TYPES:
            said = f"{cell!r:.60} is none of {', '.join(sorted(MESSAGE_TYPES))}"
        if said:
            key = row.get("id", row.get("session_id"))
            raise odd(path, f"{table}, row {key!r}, column {column}", said)


def odd(path: Path, where: str, said: str) -> StorageError:
    """What is wrong with a file: its name, the place, why."""
    place = f" {where}:" if where else ""
    return StorageError(
        f"{path.name}:{place} {said}.",
        hint="Nothing of it was taken. A trace file is SQLite with the tables of tracing v3.",
        retryable=False,
        code="bad_trace_file",
    )


def _json_mistake(cell: Any) -> str:
    if not isinstance(cell, str):
        return "it is no text"
    try:
        json.loads(cell)
    except (ValueError, RecursionError) as err:
        return f"it is no JSON ({err if isinstance(err, ValueError) else 'nested too deep'})"
    return ""


def _has_index(db: sqlite3.Connection, table: str) -> bool:
    sql = (
        "SELECT 1 FROM pragma_index_list(?) i, pragma_index_info(i.name) c "
        "WHERE c.seqno = 0 AND c.name = 'session_id' AND NOT i.partial"
    )
    return db.execute(sql, (table,)).fetchone() is not None
