"""R22: a corrupt, cut off, foreign or hostile file is refused with the place and the reason.

Nothing of it is imported. Real SQLite files, damaged as disks and strangers damage them.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.runs.models import Need, Run, RunState
from apps.runs.services import claim_shard
from apps.traces.importing import import_file
from apps.traces.models import Episode
from apps.worker.supervise import supervise
from engine.errors import StorageError
from engine.traces.v3.reader import TraceFile
from tests.v3_files import write_file

pytestmark = pytest.mark.django_db


def changed(path: Path, *statements: str) -> Path:
    db = sqlite3.connect(path)
    db.execute("PRAGMA ignore_check_constraints = ON")
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_file(tmp_path / "t.db", 3)


def without_index(path: Path) -> Path:
    return changed(path, "DROP INDEX idx_event_session_step")


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-5000])
    return path


def damage(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    for start in range(8 * 4096, len(data), 2 * 4096):
        data[start : start + 64] = b"\xff" * 64
    path.write_bytes(data)
    return path


def text(path: Path) -> Path:
    path.write_text('{"messages": []}\n')
    return path


def sql(*statements: str) -> Callable[[Path], Path]:
    return lambda path: changed(path, *statements)


VIEW = (
    "DROP TABLE messages",
    "CREATE VIEW messages AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
    "SELECT x AS id FROM n",
)
DEEP = "UPDATE events SET metadata = '" + "[" * 200_000 + "' WHERE id = 4"
BAD = {
    "no SQLite": (text, r"t\.db: it begins with"),
    "cut off": (cut, r"t\.db: it was cut off: \d+ bytes of \d+"),
    "damaged": (damage, r"t\.db: .+"),
    "no table": (sql("DROP TABLE events"), "table events is missing"),
    "a view": (sql(*VIEW), "table messages is a view"),
    "no column": (sql("ALTER TABLE events RENAME reward TO price"), "events: it has no column rew"),
    "no index": (without_index, "events: no index begins with session_id"),
    "no JSON": (sql("UPDATE events SET metadata = '{' WHERE id = 3"), "events, row 3, column meta"),
    "too deep": (sql(DEEP), r"events, row 4, column metadata: it is no JSON"),
    "odd type": (sql("UPDATE events SET event_type = 'x' WHERE id = 5"), "row 5, column event_typ"),
    "a number": (sql("UPDATE events SET latency_ms = 'soon' WHERE id = 7"), "row 7, column laten"),
    "a link": (sql("UPDATE event_rewards SET event_id = 99 WHERE id = 2"),
               "event_rewards, row 2, column event_id: names 99, which is no row of events"),
    "bytes": (sql("UPDATE events SET call_records = x'ff00' WHERE id = 9"), "row 9, column call_r"),
    "no UTF-8": (sql("UPDATE events SET call_records = CAST(x'ff22' AS TEXT) WHERE id = 9"),
                 "events, session 'game-0001': SQLite cannot read it"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BAD))
def test_r22_a_bad_trace_file_is_refused_whole(name: str, good: Path, project) -> None:
    spoil, said = BAD[name]
    with pytest.raises(StorageError, match=said) as error:
        import_file(project=project, user=None, path=spoil(good))
    assert error.value.code == "bad_trace_file"
    assert not Episode.objects.exists()
    assert not Run.objects.exists()


def test_r22_a_file_is_never_written_to_nor_given_company(good: Path, project, tmp_path) -> None:
    before = good.read_bytes()
    import_file(project=project, user=None, path=good)
    assert good.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("t.db")] == ["t.db"]


def test_r22_an_upload_that_is_no_trace_file_is_refused_at_once(good, alice, project, client_of):
    bad = SimpleUploadedFile("evil.db", cut(good).read_bytes())
    answer = client_of(alice).post("/traces/import/", {"file": bad})
    assert answer.status_code == 422
    assert "evil.db: it was cut off" in answer.content.decode()
    bad.seek(0)
    answer = client_of(alice).post("/traces/import/", {"file": bad}, HTTP_ACCEPT="application/json")
    assert answer.json()["error"]["message"].startswith("evil.db: it was cut off")
    assert not Run.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_r22_an_upload_with_a_wrong_row_fails_its_run_and_imports_nothing(
    good, alice, project, client_of
):
    spoiled = changed(good, "UPDATE events SET metadata = '{' WHERE id = 30")
    upload = SimpleUploadedFile("mine.db", spoiled.read_bytes())
    answer = client_of(alice).post("/traces/import/", {"file": upload})
    run = Run.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}/"
    claim = claim_shard(worker="one", need=Need.ROLLOUT)
    assert claim is not None
    supervise(claim, threading.Event())
    run.refresh_from_db()
    assert run.state == RunState.FAILED
    assert run.error["message"].startswith("mine.db: events, row 30, column metadata: it is no J")
    assert not Episode.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_r22_a_good_upload_is_imported_once_by_a_worker(good, key_of, alice, project, client):
    headers = {"Authorization": f"Bearer {key_of(alice)}"}
    for number in range(2):
        upload = SimpleUploadedFile("mine.db", good.read_bytes())
        answer = client.post("/api/v1/uploads", {"file": upload}, headers=headers)
        assert answer.status_code == 202, answer.content
        claim = claim_shard(worker="one", need=Need.ROLLOUT)
        assert claim is not None
        supervise(claim, threading.Event())
        run = Run.objects.get(pk=answer.json()["id"])
        assert (run.kind, run.state, run.error) == ("import", RunState.SUCCEEDED, None)
        assert run.result["imported"] == (0 if number else 3)
        assert (run.progress_done, run.progress_total) == (3, 3)
    assert Episode.objects.count() == 3


def test_r22_a_query_that_runs_away_is_stopped(good, monkeypatch) -> None:
    monkeypatch.setattr("engine.traces.v3.reader.QUERY_S", -1.0)
    with pytest.raises(StorageError, match="interrupted"), TraceFile(good) as file:
        list(file._query(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT MAX(x) FROM n",
            (),
        ))  # fmt: skip


def test_r22_the_other_imports_name_their_lines_too(alice, project, client_of) -> None:
    bad = SimpleUploadedFile("x.jsonl", json.dumps({"messages": 1}).encode())
    answer = client_of(alice).post("/datasets/new/", {"file": bad, "name": "x"})
    assert answer.status_code == 422
    assert "line 1" in answer.content.decode().lower()
