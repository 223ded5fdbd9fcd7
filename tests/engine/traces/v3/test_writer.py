"""Writing tracing v3: nothing is lost, whoever writes at once; both namings stand there."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.errors import StorageError
from engine.traces.v3 import Session, TraceDb, build_session
from tests.games import make_trace
from tests.samples import sample


def rows(path: Path, sql: str) -> list[sqlite3.Row]:
    db = sqlite3.connect(path)
    db.row_factory = sqlite3.Row
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def session(seed: int, name: str = "") -> Session:
    trace = make_trace(seed, unlocks=("collect_wood", "place_table"), n_turns=3)
    return build_session(trace, session_id=name or f"eval-{seed}")


def _write_some(path: str, worker: int) -> None:
    with TraceDb(path) as db:
        for number in range(10):
            db.write(session(number, f"w{worker}-{number}"))


def test_concurrent_rollouts_never_lose_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    fork = multiprocessing.get_context("fork")
    others = [fork.Process(target=_write_some, args=(str(path), n)) for n in range(2)]
    for other in others:
        other.start()
    with TraceDb(path) as db, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: db.write(session(n, f"here-{n}")), range(40)))
    for other in others:
        other.join()
    assert [other.exitcode for other in others] == [0, 0]
    found = rows(path, "SELECT session_id, num_events FROM session_traces")
    assert len({row["session_id"] for row in found}) == 60
    events = rows(path, "SELECT COUNT(*) AS n FROM events e JOIN session_timesteps t ON t.id ="
                  " e.timestep_id AND t.session_id = e.session_id")  # fmt: skip
    assert events[0]["n"] == sum(row["num_events"] for row in found)


def test_a_session_id_that_comes_again_gets_a_number(tmp_path: Path) -> None:
    with TraceDb(tmp_path / "traces.db") as db:
        names = [db.write(session(3)) for _ in range(3)]
    assert names == ["eval-3", "eval-3-2", "eval-3-3"]


def test_both_namings_of_achievements_are_written(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    with TraceDb(path) as db:
        db.write(session(3))
    outcome = rows(path, "SELECT * FROM outcome_rewards")[0]
    said = json.loads(outcome["reward_metadata"])
    assert said["achievements"] == said["final_achievements"] == ["collect_wood", "place_table"]
    found = rows(path, "SELECT reward_type, annotation FROM event_rewards WHERE reward_value > 0"
                 " AND annotation IS NOT NULL ORDER BY id")  # fmt: skip
    said = [json.loads(row["annotation"]) for row in found]
    assert said == [
        {"achievements": ["collect_wood"], "turned_true": ["collect_wood"]},
        {"achievements": ["collect_wood"], "new_unique": ["collect_wood"]},
        {"achievements": ["place_table"], "turned_true": ["place_table"]},
        {"achievements": ["place_table"], "new_unique": ["place_table"]},
    ]


def test_messages_are_written_and_the_system_prompt_only_once(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    with TraceDb(path) as db:
        db.write(session(3))
    kinds = [row["message_type"] for row in rows(path, "SELECT * FROM messages ORDER BY id")]
    assert kinds.count("system") == 1
    assert kinds.count("user") == kinds.count("tool_use") == 3


def test_a_reward_keeps_its_fraction(tmp_path: Path) -> None:
    trace = make_trace(3)
    trace.summary.outcome_reward = 0.5
    with TraceDb(tmp_path / "traces.db") as db:
        db.write(build_session(trace, session_id="half"))
    assert rows(tmp_path / "traces.db", "SELECT * FROM outcome_rewards")[0]["total_reward"] == 0.5


def test_a_session_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    broken = session(3)
    broken.tables["event_rewards"][-1]["reward_value"] = None
    with TraceDb(path) as db, pytest.raises(StorageError, match="reward_value"):
        db.write(broken)
    assert rows(path, "SELECT * FROM session_traces") == []


def test_the_tables_are_those_of_the_original(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    TraceDb(path).close()
    names = "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2"
    ours, theirs = path, sample("tracing_v3.db")
    unique = {"uq_system_version", "uq_experiment_system"}  # ours are UNIQUE in the table
    expected = [tuple(row) for row in rows(theirs, names) if row["name"] not in unique]
    assert [tuple(row) for row in rows(ours, names)] == expected
    for (table,) in rows(theirs, "SELECT name FROM sqlite_master WHERE type = 'table'"):
        columns = f'SELECT cid, name, type, "notnull", pk FROM pragma_table_info("{table}")'
        found = [tuple(row) for row in rows(ours, columns)]
        assert found == [tuple(row) for row in rows(theirs, columns)], table
