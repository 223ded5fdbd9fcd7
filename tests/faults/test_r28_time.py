"""R28: moments are stored in UTC, durations come from a clock that no one sets."""

from __future__ import annotations

import ast
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.utils import timezone

from apps.runs.models import Run
from apps.web.templatetags.show import ago, lasted
from tests.games import make_run

ROOT = Path(__file__).resolve().parents[2]
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.django_db
def test_r28_a_run_over_the_night_when_clocks_go_back_lasts_as_long_as_it_did(
    project, alice, key_of, client
):
    began = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)  # summer time; it comes again as winter's
    ended = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)
    run = make_run(project)
    Run.objects.filter(pk=run.pk).update(state="succeeded", started_at=began, ended_at=ended)
    headers = {"Authorization": f"Bearer {key_of(alice)}"}
    with timezone.override(BERLIN):
        row = client.get(f"/api/v1/runs/{run.pk}", headers=headers).json()
        run.refresh_from_db()
        assert lasted(run.started_at, run.ended_at).startswith("1 h")
    told = [datetime.fromisoformat(row[name]) for name in ("started_at", "ended_at")]
    assert told == [datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1)]
    assert all(moment.utcoffset() == timedelta(0) for moment in told)


def test_r28_pages_carry_the_exact_moment_in_utc_for_the_script_that_shows_it_local():
    shown = ago(datetime(2026, 3, 29, 3, 0, tzinfo=BERLIN))
    with timezone.override(BERLIN):
        assert 'datetime="2026-03-29T01:00:00+00:00"' in ago(
            datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
        )
    assert "2026-03-29T" in shown
    assert (settings.USE_TZ, settings.TIME_ZONE) == (True, "UTC")


def test_r28_a_clock_set_back_makes_no_negative_duration():
    later = datetime(2026, 1, 1, tzinfo=UTC)
    assert lasted(later, later - timedelta(hours=1)) == lasted(later, later)
    assert "just now" in ago(timezone.now() + timedelta(hours=1))


def test_r28_no_duration_is_a_difference_of_wall_clocks():
    """`time.time() - began` jumps with the clock; `time.monotonic()` does not."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for room in ("engine", "apps", "synthweb")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and _reads_wall_clock(node)
    ]
    assert wrong == []


def _reads_wall_clock(node: ast.BinOp) -> bool:
    words = ("time.time()", "datetime.now()", "datetime.utcnow()")
    return any(ast.unparse(side) in words for side in (node.left, node.right))
