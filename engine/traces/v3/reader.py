"""Reads tracing v3 files: session after session, trusting nothing, never writing.

Lives here: opening a file, its rows by session, every check that says where a file is wrong. Not
here: the checks of tables and cells (`checks.py`), what rows mean (`meaning.py`).

A file comes from strangers: the size in its header must be its size, its tables must be tables,
cells and sessions have a greatest size, and a query that runs away is stopped.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.traces.v3.checks import check_header, check_row, check_tables, odd
from engine.traces.v3.closing import Closing
from engine.traces.v3.schema import COLUMNS, LINKS, SESSION_TABLES
from engine.traces.v3.session import Row, Session

MAX_CELL_BYTES = 64 * 1024 * 1024
MAX_SESSION_BYTES = 128 * 1024 * 1024
MAX_ID_LENGTH = 300
QUERY_S = 60.0


class TraceFile(Closing):
    """A tracing v3 file, read only. Raises StorageError (`bad_trace_file`) for any other.

    `name`: what the user called it, where it lies under another name.
    """

    def __init__(self, path: Path | str, *, name: str = "") -> None:
        check_header(Path(path), name)
        self.path = Path(name or path)  # as errors call it
        try:
            self._db = connect(Path(path))
        except sqlite3.Error as err:
            raise odd(self.path, "", f"SQLite cannot open it ({err})") from err
        self._until = time.monotonic() + QUERY_S
        with self.errors("its tables"):
            self._db.set_progress_handler(self._is_late, 100_000)
            self._db.execute("BEGIN")  # one picture of the file, whoever goes on writing
            check_tables(self.path, self._db)

    def count(self) -> int:
        """How many sessions there are."""
        (number,) = self._query("SELECT COUNT(*) FROM session_traces", ())[0]
        return int(number)

    def session_ids(self) -> Iterator[list[str]]:
        """All ids in order, some hundred at a time."""
        sql = (
            "SELECT session_id FROM session_traces WHERE session_id > ? "
            "ORDER BY session_id LIMIT 500"
        )
        last = ""
        while ids := [row[0] for row in self._query(sql, (last,))]:
            yield ids
            last = ids[-1]

    def sessions(self) -> Iterator[Session]:
        """Every session whole, by id; one at a time is in memory."""
        for ids in self.session_ids():
            for session_id in ids:
                yield self.session(session_id)

    def last_row(self) -> int:
        """The number of the newest session's row; rows are numbered as they are written."""
        (number,) = self._query("SELECT MAX(rowid) FROM session_traces", ())[0]
        return int(number or 0)

    def sessions_after(self, row: int) -> Iterator[tuple[int, Session]]:
        """Sessions that were written after row `row`, with their own rows, as they were written."""
        sql = (
            "SELECT rowid, session_id FROM session_traces WHERE rowid > ? ORDER BY rowid LIMIT 500"
        )
        while found := self._query(sql, (row,)):
            for row, session_id in found:
                yield row, self.session(session_id)

    def session(self, session_id: str) -> Session:
        """The rows of one session, checked."""
        if not isinstance(session_id, str) or not 0 < len(session_id) <= MAX_ID_LENGTH:
            said = f"its session_id must be a text of 1 to {MAX_ID_LENGTH} characters"
            raise odd(self.path, "session_traces", said)
        found = self._rows("session_traces", session_id, "session_id")
        if len(found) != 1:
            raise odd(self.path, "session_traces", f"{len(found)} rows are called {session_id!r}")
        row = found[0]
        tables: dict[str, list[Row]] = {}
        size = 0
        for table in SESSION_TABLES:
            tables[table] = self._rows(table, session_id, "id")
            size += sum(
                len(cell)
                for found in tables[table]
                for cell in found.values()
                if isinstance(cell, str | bytes)
            )
            if size > MAX_SESSION_BYTES:
                said = f"session {session_id!r} is larger than {MAX_SESSION_BYTES} bytes"
                raise odd(self.path, table, said)
        self._check_links(tables)
        return Session(row, {**self._shared(row), **tables})

    def close(self) -> None:
        self._db.close()

    @contextlib.contextmanager
    def errors(self, where: str = "") -> Iterator[None]:
        """SQLite's errors as ours, with the place."""
        try:
            yield
        except (sqlite3.Error, OSError, OverflowError) as err:
            self.close()
            raise odd(self.path, where, f"SQLite cannot read it ({err})") from err

    def _is_late(self) -> int:
        return time.monotonic() > self._until

    def _query(self, sql: str, values: tuple[Any, ...], where: str = "") -> list[Any]:
        self._until = time.monotonic() + QUERY_S
        with self.errors(where or "session_traces"):
            return self._db.execute(sql, values).fetchall()

    def _rows(self, table: str, session_id: str, key: str) -> list[Row]:
        columns = COLUMNS[table]
        names = ", ".join(f'"{name}"' for name in columns)
        sql = f"SELECT {names} FROM {table} WHERE session_id = ? ORDER BY {key}"  # noqa: S608
        where = f"{table}, session {session_id!r}"
        found = [
            dict(zip(columns, cells, strict=True))
            for cells in self._query(sql, (session_id,), where)
        ]
        for row in found:
            check_row(self.path, table, row)
        return found

    def _shared(self, row: Row) -> dict[str, list[Row]]:
        """The experiment that a session names, and what it is made of."""
        experiment = row.get("experiment_id")
        if experiment is None:
            return {}
        linked = "SELECT {0} FROM experimental_systems WHERE experiment_id = ?"
        where = {
            "experiments": "experiment_id = ?",
            "systems": f"system_id IN ({linked.format('system_id')})",
            "system_versions": f"version_id IN ({linked.format('version_id')})",
            "experimental_systems": "experiment_id = ?",
        }
        tables = {}
        for table, condition in where.items():
            names = ", ".join(f'"{name}"' for name in COLUMNS[table])
            sql = f"SELECT {names} FROM {table} WHERE {condition} ORDER BY 1"  # noqa: S608
            rows = self._query(sql, (experiment,), table)
            tables[table] = [dict(zip(COLUMNS[table], cells, strict=True)) for cells in rows]
        return tables

    def _check_links(self, tables: dict[str, list[Row]]) -> None:
        ids = {table: {row["id"] for row in rows} for table, rows in tables.items()}
        for table, rows in tables.items():
            for column, target in LINKS.items():
                if column not in COLUMNS[table]:
                    continue
                for row in rows:
                    link = row[column]
                    if link is not None and link not in ids[target]:
                        said = f"names {link!r}, which is no row of {target} in this session"
                        raise odd(self.path, f"{table}, row {row['id']}, column {column}", said)


def connect(path: Path) -> sqlite3.Connection:
    """A read-only connection that runs nothing a schema asks for. Raises sqlite3.Error.

    Not mapped into memory: a seventh faster, but the process grows with the file, and whoever
    cuts the file off meanwhile kills it.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    if _is_resting(path):
        uri += "&immutable=1"  # else SQLite leaves its -wal and -shm beside the file
    db = sqlite3.connect(uri, uri=True, timeout=20, isolation_level=None, check_same_thread=False)
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_CELL_BYTES)
    for pragma in (
        "trusted_schema=OFF",
        "cell_size_check=ON",
        "mmap_size=0",
        "cache_size=-8000",
    ):
        db.execute(f"PRAGMA {pragma}")
    return db


def _is_resting(path: Path) -> bool:
    """Nobody has it open in WAL mode: there is nothing beside the file itself."""
    return not any(path.with_name(path.name + end).exists() for end in ("-wal", "-shm", "-journal"))
