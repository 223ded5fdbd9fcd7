"""Writes sessions into a tracing v3 file: many threads and processes at once, none is lost.

Lives here: `TraceDb`. Not here: what a session's rows say (`building.py`).

The original opens a deferred transaction for each row, so eight rollouts that end together lose
seven traces to "database is locked". Here a session is one IMMEDIATE transaction in WAL mode:
whoever comes second waits.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

from engine.errors import StorageError
from engine.traces.v3.closing import Closing
from engine.traces.v3.schema import (
    COLUMNS,
    LINKS,
    SESSION_TABLES,
    SHARED_TABLES,
    statements,
)
from engine.traces.v3.session import Row, Session

WAIT_S = 60.0


class TraceDb(Closing):
    """A tracing v3 file, made when it is not there. `write` may be called from any thread."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                self.path, timeout=WAIT_S, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._make_tables()
        except (sqlite3.Error, OSError) as err:
            raise _failed(self.path, err) from err

    def write(self, session: Session) -> str:
        """Store a session whole or not at all; returns the id it got.

        A session id that is taken gets a number behind it: task app clients name a rollout
        `eval-3` again and again, and each is a trace of its own. Row ids are kept where they are
        free, so a file that is read and written again is the same. Raises StorageError.
        """
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    session_id = self._write(session)
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.Error as err:
                raise _failed(self.path, err) from err
        return session_id

    def close(self) -> None:
        """Everything into the file itself, so that it can be copied without its -wal."""
        with self._lock:
            try:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error:
                pass  # another process still reads or writes: it does this when it closes
            self._db.close()

    def _make_tables(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements():
                self._db.execute(statement)
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _write(self, session: Session) -> str:
        session_id = self._free_id(session.session_id)
        for table in SHARED_TABLES:
            for row in session.rows(table):
                self._insert(table, row, "INSERT OR IGNORE")
        self._insert("session_traces", {**session.row, "session_id": session_id})
        given: dict[str, dict[int, int]] = {}
        for table in SESSION_TABLES:
            given[table] = self._insert_linked(table, session.rows(table), session_id, given)
        return session_id

    def _free_id(self, wanted: str) -> str:
        taken = "SELECT 1 FROM session_traces WHERE session_id = ?"
        name, number = wanted, 1
        while self._db.execute(taken, (name,)).fetchone():
            number += 1
            name = f"{wanted}-{number}"
        return name

    def _insert_linked(
        self, table: str, rows: list[Row], session_id: str, given: dict[str, dict[int, int]]
    ) -> dict[int, int]:
        """Insert the rows of one table; returns which id each got."""
        keep = self._are_free(table, [row["id"] for row in rows])
        ids: dict[int, int] = {}
        for row in rows:
            new = {**row, "session_id": session_id}
            for column, target in LINKS.items():
                if new.get(column) is not None and column in COLUMNS[table]:
                    new[column] = given[target].get(new[column], new[column])
            if not keep:
                new["id"] = None
            ids[row["id"]] = self._insert(table, new)
        return ids

    def _are_free(self, table: str, ids: list[int]) -> bool:
        if not ids:
            return True
        if min(ids) < 1:
            return False
        between = f"SELECT 1 FROM {table} WHERE id BETWEEN ? AND ? LIMIT 1"  # noqa: S608
        return self._db.execute(between, (min(ids), max(ids))).fetchone() is None

    def _insert(self, table: str, row: Row, verb: str = "INSERT") -> int:
        columns = COLUMNS[table]
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join("?" * len(columns))
        values: list[Any] = [row.get(name) for name in columns]
        cursor = self._db.execute(f"{verb} INTO {table} ({names}) VALUES ({marks})", values)
        return int(cursor.lastrowid or 0)


def _failed(path: Path, err: Exception) -> StorageError:
    return StorageError(
        f"{path}: the trace could not be stored ({err}).",
        hint="Is the disk full, the file read-only, or no SQLite file?",
        code="trace_db",
    )
