"""What clients play over HTTP: imported as the task app's file grows, each session once."""

from __future__ import annotations

import pytest

from apps.runs.models import Run
from apps.traces import played
from apps.traces.models import Episode
from engine.traces.v3 import TraceDb, build_session
from tests.games import make_trace
from tests.v3_files import make_session

pytestmark = pytest.mark.django_db


@pytest.fixture
def task_app(settings, tmp_path, project):
    """The file, open for writing as the running task app has it."""
    settings.TASK_APP_TRACES = tmp_path / "task_app" / "traces.db"
    played._read.clear()
    with TraceDb(tmp_path / "task_app" / "traces.db") as db:
        yield db


def test_without_a_file_there_is_nothing_to_do(settings, tmp_path, project):
    settings.TASK_APP_TRACES = tmp_path / "task_app" / "traces.db"
    assert played.import_played() == 0


def test_new_sessions_are_imported_while_the_task_app_goes_on(task_app):
    for seed in (1, 2):
        task_app.write(build_session(make_trace(seed), session_id=f"eval-{seed}"))
    assert played.import_played() == 2
    assert played.import_played() == 0
    task_app.write(build_session(make_trace(1), session_id="eval-1"))
    assert played.import_played() == 1
    run = Run.objects.get()
    assert run.name.startswith("Played over HTTP, ")
    assert (run.state, run.progress_done, run.result["imported"]) == ("succeeded", 3, 3)
    assert list(Episode.objects.order_by("pk").values_list("seed", "repeat")) == [
        (1, 0), (2, 0), (1, 1),
    ]  # fmt: skip


def test_an_unchanged_file_is_not_opened(task_app, monkeypatch):
    task_app.write(make_session(1))
    played.import_played()
    monkeypatch.setattr(played, "TraceFile", None)
    assert played.import_played() == 0


def test_a_lost_cursor_imports_nothing_twice(task_app):
    task_app.write(make_session(1))
    played.import_played()
    Run.objects.update(inputs={})
    played._read.clear()
    assert played.import_played() == 0
    assert Episode.objects.count() == 1
