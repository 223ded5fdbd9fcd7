"""`manage.py export_sft` writes the form of `synth-ai`, or says that nothing matches."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from tests.games import make_run, make_trace, store_games

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
    assert len(_export(out, "--exclude-achievement", "collect_wood")) == 3
    assert len(_export(out, "--require-achievement", "place_table")) == 3
    assert len(_export(out, "--max-outcome-reward", "1")) == 3
    assert len(_export(out, "--event-reward", "achievement_delta:2")) == 3


@pytest.mark.parametrize(
    "flags", [("--min-unique", "9"), ("--provider", "x"), ("--event-reward", "odd")]
)
def test_no_match_fails_and_writes_nothing(games, tmp_path, flags):
    with pytest.raises(CommandError):
        _export(tmp_path / "o.jsonl", *flags)
    assert list(tmp_path.iterdir()) == []
