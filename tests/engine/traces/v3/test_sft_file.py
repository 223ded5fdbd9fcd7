"""SFT records of tracing v3 files: the original exporter's, record for record, then our filters."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from engine.errors import StorageError
from engine.traces.v3 import TraceDb
from engine.traces.v3.choosing import SftFilter
from engine.traces.v3.reader import TraceFile
from engine.traces.v3.sft import curate, session_records
from engine.traces.v3.sft_file import file_records
from tests.samples import sample
from tests.v3_files import NAMES, make_session, write_file

# Every recorded setting of the original exporter: our filter, the recorded file.
RECORDED = {
    "export_default": SftFilter(min_unique=0),
    "export_model_reward": SftFilter(
        min_unique=0,
        models=frozenset(["Qwen/Qwen3-4B"]),
        min_outcome=1,
        event_rewards=(("unique_achievement_delta", 1.0),),
    ),
    "export_names_min_unique2": SftFilter(min_unique=2),
    "export_names_require_sapling_limit4": SftFilter(
        min_unique=1, require=frozenset(["collect_sapling"]), ignore=frozenset(["collect_wood"])
    ),
}


def read(path: Path, wanted: SftFilter | None = None, limit: int | None = None) -> list[Any]:
    return [json.loads(r.line) for r in file_records(path, wanted or SftFilter())][:limit]


def recorded(name: str) -> list[Any]:
    return [json.loads(line) for line in sample(f"{name}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "name", ["export_names_min_unique2", "export_names_require_sapling_limit4"]
)
@pytest.mark.parametrize("file", ["tracing_v3_names.db", "tracing_v3.db"])
def test_records_equal_the_recorded_ones_under_either_naming(name: str, file: str) -> None:
    expected = recorded(name)
    assert read(sample(file), RECORDED[name], len(expected)) == expected


@pytest.mark.parametrize("name", ["export_default", "export_model_reward"])
@pytest.mark.parametrize("file", ["tracing_v3_names.db", "tracing_v3.db"])
def test_where_the_original_finds_no_achievements_only_they_differ(name: str, file: str) -> None:
    ours, theirs = read(sample(file), RECORDED[name]), recorded(name)
    achieved = [record["metadata"].pop("achievements") for record in ours]
    for record in theirs:
        record["metadata"].pop("achievements")
    assert ours == theirs
    assert sum(len(said["new_unique"]) for said in achieved) > 0


def test_both_namings_give_the_same_records(tmp_path: Path) -> None:
    files = {
        naming: write_file(tmp_path / f"{naming}.db", naming=naming)
        for naming in ("app", "exporter", "both")
    }
    wanted = SftFilter(min_unique=2, require=frozenset([NAMES[1]]))
    found = {naming: read(path, wanted) for naming, path in files.items()}
    assert found["app"] == found["exporter"] == found["both"] != []


def test_odd_records_come_out_as_the_long_way_gives_them(tmp_path: Path) -> None:
    """Two calls, no call, no content, three messages, an image, text as answer, broken JSON."""
    session = make_session(4, 8)
    calls = [row for row in session.rows("events") if row["event_type"] == "cais"]
    records = [json.loads(row["call_records"]) for row in calls]
    answer = json.loads(records[0][0]["output_text"])
    message = answer["choices"][0]["message"]
    message["tool_calls"] *= 2
    records[0][0]["output_text"] = json.dumps(answer)
    message["tool_calls"] = []
    records[1][0]["output_text"] = json.dumps(answer)  # the call stands in output_tool_calls only
    records[2][0]["output_text"], records[2][0]["output_tool_calls"] = "no JSON", []
    records[3][0]["input_messages"].append(
        {"role": "user", "parts": [{"type": "text", "text": "3"}]}
    )
    image = {"type": "image", "uri": "data:image/png;base64,AA=="}
    records[4][0]["input_messages"][1]["parts"].append(image)
    records[5] *= 2
    message.update(content='He said "," and \\ 🌲 then', tool_calls=None)
    records[6][0].update(output_text=json.dumps(answer), output_tool_calls=None)
    for row, record in zip(calls, records, strict=True):
        row["call_records"] = json.dumps(record)
    calls[7]["call_records"] = '[{"input_messages": NaN}]'
    with TraceDb(tmp_path / "odd.db") as db:
        db.write(session)
        db.write(make_session(1, 3))
    found = read(tmp_path / "odd.db")
    plain = [json.loads(r.line) for n in (session, make_session(1, 3)) for r in
             session_records(n, SftFilter())]  # fmt: skip
    assert found == sorted(plain, key=lambda r: r["metadata"]["session_id"])
    turns = [r["metadata"]["turn"] for r in found if r["metadata"]["session_id"] == "game-0004"]
    assert turns == [0, 1, 3, 4, 5, 5, 6]
    by_turn = {r["metadata"]["turn"]: r for r in found[3:]}
    assert len(by_turn[0]["messages"][-1]["tool_calls"]) == 2
    assert by_turn[4]["metadata"]["user_has_image"] is True
    assert by_turn[6]["messages"][-1] == {
        "role": "assistant", "content": 'He said "," and \\ 🌲 then',
    }  # fmt: skip


def test_an_empty_content_is_an_empty_string(tmp_path: Path) -> None:
    session = make_session(1, 2)
    calls = [row for row in session.rows("events") if row["event_type"] == "cais"]
    for row in calls:
        record = json.loads(row["call_records"])
        answer = json.loads(record[0]["output_text"])
        answer["choices"][0]["message"]["content"] = None
        record[0]["output_text"] = json.dumps(answer)
        row["call_records"] = json.dumps(record)
    with TraceDb(tmp_path / "f.db") as db:
        db.write(session)
    assert [record["messages"][-1]["content"] for record in read(tmp_path / "f.db")] == ["", ""]


def unlocking(*turns: int) -> list[list[str]]:
    return [[NAMES[turns.index(i) % 4]] if i in turns else [] for i in range(8)]


def test_our_filters_take_the_turns_before_an_unlock(tmp_path: Path) -> None:
    with TraceDb(tmp_path / "f.db") as db:
        db.write(make_session(1, 8, unlocks=unlocking(2, 6)))
    found = read(tmp_path / "f.db", SftFilter(turns_before_unlock=2))
    assert [record["metadata"]["turn"] for record in found] == [1, 2, 5, 6]
    assert [r["metadata"]["achievements"]["cumulative_unique"] for r in found] == [0, 1, 1, 2]


def test_our_filters_leave_out_doubles_and_balance_achievements(tmp_path: Path) -> None:
    path = tmp_path / "f.db"
    with TraceDb(path) as db:
        db.write(make_session(1, 8, unlocks=unlocking(2, 6)))
        db.write(make_session(1, 8, unlocks=unlocking(2, 6)))  # game-0001-2, the same talk
    assert len(read(path)) == 16
    assert len(read(path, SftFilter(dedupe=True))) == 8
    found = list(file_records(path, SftFilter(max_per_achievement=3)))
    assert [record.achievement for record in found] == [NAMES[0]] * 3 + [NAMES[1]] * 3 + [
        ""
    ] * 2 + ([])


def test_a_split_keeps_all_games_of_a_seed_on_one_side(tmp_path: Path) -> None:
    path = write_file(tmp_path / "f.db", 40, 2)
    sides = {
        side: {r["metadata"]["session_id"] for r in read(path, SftFilter(split=side,
               validation_share=0.25))}
        for side in ("train", "validation")
    }  # fmt: skip
    assert not sides["train"] & sides["validation"]
    assert len(sides["train"] | sides["validation"]) == 40
    assert 3 <= len(sides["validation"]) <= 17


def test_failed_calls_are_dropped_when_asked(tmp_path: Path) -> None:
    session = make_session(1, 3)
    row = session.rows("events")[0]
    row["call_records"] = row["call_records"].replace('{\\\\\\"actions', '[\\\\\\"actions')
    with TraceDb(tmp_path / "f.db") as db:
        db.write(session)
    found = read(tmp_path / "f.db", SftFilter(drop_failed_calls=True))
    assert [record["metadata"]["turn"] for record in found] == [1, 2]


def test_sessions_in_memory_give_the_records_of_their_file(tmp_path: Path) -> None:
    path = write_file(tmp_path / "f.db", 9)
    wanted = SftFilter(min_unique=1, max_per_achievement=7, split="train", validation_share=0.3)
    with TraceFile(path) as file:
        said = [r for s in file.sessions() for r in session_records(s, wanted)]
    assert [json.loads(record.line) for record in curate(said, wanted)] == read(path, wanted) != []


def test_a_file_that_breaks_in_the_middle_says_where(tmp_path: Path) -> None:
    path = write_file(tmp_path / "f.db", 60)
    data = bytearray(path.read_bytes())
    for start in range(len(data) // 2, len(data) // 2 + 40 * 4096, 4096):
        data[start : start + 200] = b"\xff" * 200
    path.write_bytes(data)
    with pytest.raises(StorageError, match=r"f\.db"):
        read(path)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE notes (text)")
    db.close()
    with pytest.raises(StorageError, match="table session_traces is missing; it has notes"):
        read(other)
