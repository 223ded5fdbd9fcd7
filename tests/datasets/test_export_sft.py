"""`manage.py export_sft` writes the form of `synth-ai`, or says that nothing matches."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from tests.games import make_run, make_trace, store_games
from tests.samples import sample
from tests.v3_files import write_file

pytestmark = pytest.mark.django_db


@pytest.fixture
def games(project, alice):
    alice.is_superuser = True
    alice.save()
    traces = [make_trace(1, unlocks=[]), make_trace(2, unlocks=["collect_wood", "place_table"])]
    return store_games(make_run(project, "rollout"), traces)


def _export(path, *flags):
    call_command("export_sft", "--output", str(path), *flags, stdout=io.StringIO())
    return [json.loads(line) for line in path.open()]


def test_records_have_the_form_of_the_exporter(games, tmp_path):
    records = _export(tmp_path / "o.jsonl", "--min-unique", "2")
    assert [record["metadata"]["turn"] for record in records] == [0, 1, 2]
    assert records[0].keys() == {"messages", "metadata"}
    assert records[1]["metadata"]["achievements"] == {
        "new_unique": ["place_table"],
        "turned_true": ["place_table"],
        "cumulative_unique": 2,
    }
    assert records[0]["messages"][-1]["content"] == ""


def test_each_flag_narrows(games, tmp_path):
    out = tmp_path / "o.jsonl"
    assert len(_export(out)) == 6
    assert len(_export(out, "--limit", "4")) == 4
    ignored = ("--exclude-achievement", "collect_wood")
    assert len(_export(out, *ignored)) == 6
    assert len(_export(out, "--max-unique", "1", *ignored)) == 6
    assert len(_export(out, "--run", str(games[0].run_id), "--task", "crafter")) == 6
    assert len(_export(out, "--require-achievement", "place_table")) == 3
    assert len(_export(out, "--max-outcome-reward", "1")) == 3
    assert len(_export(out, "--event-reward", "achievement_delta:2")) == 3


def test_our_filters_work_on_our_games_too(games, tmp_path):
    out = tmp_path / "o.jsonl"
    found = _export(out, "--turns-before-unlock", "1")
    assert [record["metadata"]["turn"] for record in found] == [0, 1]
    found = _export(out, "--max-per-achievement", "1")
    assert len(found) == 3  # collect_wood, place_table, and one that led to nothing


def test_other_formats_have_the_tools(games, tmp_path):
    found = _export(tmp_path / "o.jsonl", "--format", "trl", "--limit", "1")
    assert found[0]["tools"][0]["function"]["name"] == "interact_many"
    (call,) = found[0]["messages"][-1]["tool_calls"]
    assert call["function"]["arguments"] == {"actions": ["move_left", "do"]}


def test_a_file_is_exported_without_any_project(tmp_path, db):
    path = write_file(tmp_path / "t.db", 3)
    found = _export(tmp_path / "o.jsonl", "--in", str(path), "--min-unique", "2")
    assert {record["metadata"]["session_id"] for record in found} == {"game-0002", "game-0003"}


@pytest.mark.parametrize(
    "name", ["export_names_min_unique2", "export_names_require_sapling_limit4"]
)
@pytest.mark.parametrize("file", ["tracing_v3_names.db", "tracing_v3.db"])
def test_the_recorded_commands_give_the_recorded_files(tmp_path, db, name, file):
    flags = {
        "export_names_min_unique2": ["--min-unique", "2"],
        "export_names_require_sapling_limit4": [
            "--min-unique", "1", "--require-achievement", "collect_sapling",
            "--exclude-achievement", "collect_wood", "--limit", "4",
        ],
    }  # fmt: skip
    found = _export(tmp_path / "o.jsonl", "--db", str(sample(file)), *flags[name])
    recorded = sample(f"{name}.jsonl").read_text().splitlines()
    assert found == [json.loads(line) for line in recorded]


@pytest.mark.parametrize(
    "flags",
    [
        ("--min-unique", "9"),
        ("--provider", "x"),
        ("--event-reward", "odd:1"),
        ("--event-reward", "sparse:much"),
        ("--run", "99"),
        ("--db", "nowhere.db"),
    ],
)
def test_no_match_fails_and_writes_nothing(games, tmp_path, flags):
    with pytest.raises(CommandError):
        _export(tmp_path / "o.jsonl", *flags)
    assert list(tmp_path.iterdir()) == []
