"""`manage.py loop` against a whole running instance: real workers, real games, its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.servers.instance import Instance

pytestmark = pytest.mark.slow

EVAL = 'provider = "builtin", seeds = "100000..100011", max_steps = 40, max_turns = 20'
CONTEST = f"""
[stages.random]
config = {{model = "random", {EVAL}}}
[stages.guide]
config = {{model = "guide", observation = "compact", {EVAL}}}
after = ["random"]
[table]
rows = ["random", "guide"]
"""


def test_a_proven_gain_exits_zero_and_prints_the_table(instance: Instance, tmp_path: Path) -> None:
    path = tmp_path / "contest.toml"
    path.write_text(CONTEST)
    done = instance.manage("loop", str(path), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "guide is better than random: the whole interval lies above 0." in done.stdout
    assert "✓ guide" in done.stdout


def test_no_gain_exits_with_a_failure_and_says_so(instance: Instance, tmp_path: Path) -> None:
    path = tmp_path / "contest.toml"
    path.write_text(CONTEST + 'baseline = "guide"\nproof = "random"\n')
    done = instance.manage("loop", str(path), "--json", check=False)
    assert done.returncode == 1
    table = json.loads(done.stdout)["table"]
    assert table["better"] is False
    assert [row["stage"] for row in table["rows"]] == ["random", "guide"]


def test_a_typo_in_the_pipeline_is_told_by_the_api(instance: Instance, tmp_path: Path) -> None:
    path = tmp_path / "contest.toml"
    path.write_text(CONTEST.replace("[table]\nrows", "[table]\nrow"))
    done = instance.manage("loop", str(path), check=False)
    assert done.returncode == 1
    assert "contest.toml:8 table.row: unknown key, did you mean rows?" in done.stderr


def test_without_an_instance_it_says_what_to_start(instance: Instance, tmp_path: Path) -> None:
    done = instance.manage("loop", "--url", "http://127.0.0.1:1", check=False)
    assert done.returncode == 1
    assert "Is `make up` running?" in done.stderr
