"""Every command of docs/workflows/tracing.md runs as it stands there and does what it says."""

from __future__ import annotations

import io
import json
import re
import shlex
from pathlib import Path

import pytest
from django.core.management import call_command

from apps.runs.models import Run
from tests.games import make_run, make_trace, store_games
from tests.v3_files import write_file

pytestmark = pytest.mark.django_db
PAGE = Path(__file__).resolve().parents[2] / "docs" / "workflows" / "tracing.md"
COMMAND = re.compile(r"^python manage\.py (.+)$", re.MULTILINE)


@pytest.fixture
def here(alice, project, tmp_path, monkeypatch) -> Path:
    """A folder with the file of the page, a project with run 12."""
    alice.is_superuser = True
    alice.save()
    monkeypatch.chdir(tmp_path)
    write_file(tmp_path / "traces" / "v3" / "synth_ai.db", 9)
    store_games(make_run(project), [make_trace(seed) for seed in range(3)])
    return tmp_path


def run(line: str) -> str:
    name, *flags = shlex.split(line.replace("--run 12", f"--run {Run.objects.earliest('id').pk}"))
    out = io.StringIO()
    call_command(name, *flags, stdout=out)
    return out.getvalue()


def test_the_commands_of_the_page_run_in_order(here: Path) -> None:
    lines = COMMAND.findall(PAGE.read_text())
    said = {line: run(line) for line in lines}
    assert len(lines) == 7
    assert "9 sessions imported as run" in said[lines[0]]
    assert json.loads(said[lines[1]])["imported"] == 0
    assert {path.name for path in here.glob("*.db")} == {"run12.db", "good.db"}
    assert len((here / "sft.jsonl").read_text().splitlines()) == 9  # of the last: our own games
