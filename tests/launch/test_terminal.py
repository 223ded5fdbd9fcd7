"""What `make loop` prints, and with which exit code it ends."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest

from apps.launch.management.commands.loop import _exit_code
from apps.launch.terminal import Screen, table_lines

ROWS = [
    {"stage": "base", "mean": 1.9, "ci95": [1.6, 2.2], "n": 50, "leaked": False},
    {
        "stage": "sft", "mean": 4.5, "ci95": [4.0, 5.0], "n": 50, "temperature": 1.0,
        "difference": 2.6, "difference_ci95": [2.0, 3.2], "wins": 44, "ties": 4, "losses": 2,
        "leaked": False,
    },
]  # fmt: skip


def detail(*, better: bool | None = True, state: str = "succeeded") -> dict[str, Any]:
    table = {"rows": ROWS, "baseline": "base", "proof": "sft", "better": better}
    return {"state": state, "error": {"message": "It broke."}, "table": table, "stages": []}


def test_the_table_shows_means_intervals_and_the_paired_difference() -> None:
    lines = table_lines(detail())
    assert "4.50" in lines[2]
    assert "4.00 to 5.00" in lines[2]
    assert "+2.60 (+2.00 to +3.20); 44 won, 4 even, 2 lost" in lines[2]
    assert lines[-1] == "sft is better than base: the whole interval lies above 0."


@pytest.mark.parametrize(
    ("better", "state", "code"),
    [
        (True, "succeeded", 0),
        (False, "succeeded", 1),
        (None, "succeeded", 1),
        (True, "failed", 1),
        (None, "cancelled", 1),
    ],
)
def test_the_exit_code_is_zero_only_when_the_gain_is_proven(
    better: bool | None, state: str, code: int
) -> None:
    assert _exit_code(detail(better=better, state=state)) == code


def test_a_pipeline_without_a_table_succeeds_by_itself() -> None:
    assert _exit_code({"state": "succeeded", "table": {}}) == 0
    assert table_lines({"state": "succeeded", "table": {}}) == []


def test_evals_without_a_finished_game_are_shown_with_dashes() -> None:
    unknown = {"difference": None, "difference_ci95": [None, None], "mean": None}
    rows = [{**ROWS[0], "mean": None, "ci95": [None, None], "n": 0}, {**ROWS[1], **unknown}]
    lines = table_lines({**detail(state="cancelled"), "table": {**detail()["table"], "rows": rows}})
    assert lines[1].split()[:5] == ["base", "-", "-", "to", "-"]
    rows[1]["difference"] = 0.5
    assert (
        "+0.50 (- to -)"
        in table_lines({**detail(), "table": {**detail()["table"], "rows": rows}})[2]
    )


def test_what_is_not_proven_or_broke_is_said_plainly() -> None:
    assert table_lines(detail(better=False))[-1].startswith("NOT PROVEN")
    assert table_lines(detail(state="failed"))[-1] == "The pipeline failed. It broke."


def test_a_log_gets_a_line_a_change_and_no_more() -> None:
    out = StringIO()
    screen = Screen(out)
    stage = {"name": "base", "kind": "eval", "state": "waiting", "score": None, "seconds": None}
    for state in ("waiting", "running", "running", "succeeded"):
        screen.show({"stages": [{**stage, "state": state}]})
    assert [line.split()[2:5] for line in out.getvalue().splitlines()] == [
        ["▸", "base", "eval"],
        ["✓", "base", "eval"],
    ]
