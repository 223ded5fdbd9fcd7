"""S9: what is too large or too deep is refused before it costs memory or disk."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.errors import StorageError
from engine.traces.v3 import reader
from engine.traces.v3.reader import TraceFile
from tests.v3_files import write_file

ROOT = Path(__file__).resolve().parents[2]


def ask(headers: list[tuple[bytes, bytes]]) -> tuple[int, Any]:
    """What the router answers to a POST with these headers; its body is never asked for."""
    from synthweb.asgi import application

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("the body was read")

    scope = {"type": "http", "method": "POST", "path": "/traces/import/", "headers": headers}
    asyncio.run(application(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_s09_a_body_above_the_limit_is_refused_unread(settings) -> None:
    settings.MAX_UPLOAD_BYTES = 2**20
    status, answer = ask([(b"content-length", b"1048577")])
    assert (status, answer["error"]["code"]) == (413, "too_large")
    assert "SYNTHWEB_MAX_UPLOAD_MB" in answer["error"]["hint"]


def test_s09_a_body_that_does_not_say_its_length_is_refused_unread() -> None:
    assert ask([(b"transfer-encoding", b"chunked")])[0] == 411
    assert ask([(b"content-length", b"many")])[0] == 413


def test_s09_a_huge_cell_is_refused_without_reading_it(tmp_path: Path, monkeypatch) -> None:
    path = write_file(tmp_path / "t.db", 1)
    db = sqlite3.connect(path)
    db.execute("UPDATE events SET metadata = json_quote(hex(zeroblob(4000000))) WHERE id = 2")
    db.commit()
    db.close()
    monkeypatch.setattr(reader, "MAX_CELL_BYTES", 2_000_000)
    with pytest.raises(StorageError, match="events, session 'game-0001'"), TraceFile(path) as file:
        list(file.sessions())


def test_s09_a_huge_session_is_refused(tmp_path: Path, monkeypatch) -> None:
    path = write_file(tmp_path / "t.db", 1, 30)
    monkeypatch.setattr(reader, "MAX_SESSION_BYTES", 50_000)
    with pytest.raises(StorageError, match="'game-0001' is larger than"), TraceFile(path) as file:
        list(file.sessions())


_MEASURE = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from engine.rollout.importing import check_file
from engine.traces.v3.choosing import SftFilter
from engine.traces.v3.reader import TraceFile
from engine.traces.v3.sft_file import file_records
path = Path(sys.argv[1])
with TraceFile(path) as file:
    check_file(file)
for _ in file_records(path, SftFilter()):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_kb(path: Path) -> int:
    """Peak memory of a process that checks a file and exports it."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(path), str(ROOT)],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return int(done.stdout)


def test_s09_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    small, large = tmp_path / "small.db", tmp_path / "large.db"
    write_file(small, 20, 20)
    write_file(large, 400, 20)
    grown = large.stat().st_size - small.stat().st_size
    assert grown > 60e6
    growth = 1024 * (peak_kb(large) - peak_kb(small))
    assert growth < 20e6, f"{growth / 1e6:.0f} MB more for {grown / 1e6:.0f} MB of file"
