"""The task app, the run kind and the page of docs/extending.md work as they stand there."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from django.urls import include, path

from engine.jobs import KINDS, load_job
from engine.jobs.job import open_job
from engine.lease import Cancellation, Cancelled
from engine.rollout.opening import open_at
from engine.rollout.player import play_episode
from engine.rollout.policies import ScriptedPolicy
from engine.rollout.recording import EpisodeSpec, PlayerOptions
from engine.tasks import _TASKS, achievements_of, get_task
from engine.tasks.base import Task
from engine.traces.record import Trace

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "extending.md").read_text()
FILE = re.compile(r"`(engine/[\w/]+\.py)`:\n\n```python\n(.*?)```", re.DOTALL)


@pytest.fixture(autouse=True)
def written(monkeypatch) -> None:
    """The page's files, as modules of those names, with their lines in the registries."""
    monkeypatch.setitem(sys.modules, "engine.tasks.stairs", ModuleType("engine.tasks.stairs"))
    for file, code in FILE.findall(TEXT):
        name = file.removesuffix(".py").replace("/", ".")
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(code, file, "exec"), module.__dict__)
    monkeypatch.setitem(_TASKS, "stairs", ("engine.tasks.stairs.task:StairsTask", ()))
    monkeypatch.setitem(KINDS, "count", "engine.jobs.count:run")


def play(task: Task, policy: str, seed: int) -> Trace:
    options = PlayerOptions(task_options={}, max_turns=8, policy=policy)
    script = ScriptedPolicy(policy, task.scripted[policy])
    return asyncio.run(
        play_episode(task, task.new_game(seed, {}), EpisodeSpec(seed), script, options)
    )


def test_the_page_has_the_files_that_it_speaks_of():
    assert [file for file, _ in FILE.findall(TEXT)] == [
        "engine/tasks/stairs/names.py", "engine/tasks/stairs/task.py", "engine/jobs/count.py",
    ]  # fmt: skip
    for named in re.findall(r"`((?:engine|apps|static|tests|bench|templates)/[\w/.]+\.\w+)`", TEXT):
        if "stairs" not in named and "count" not in named and "NAME" not in named:
            assert (ROOT / named).exists(), named


def test_the_task_app_is_played_scored_and_played_again():
    task = get_task("stairs")
    assert achievements_of("stairs") == task.achievements
    best, luck = (sum(play(task, p, s).summary.n_achievements for s in range(6))
                  for p in ("guide", "random"))  # fmt: skip
    assert best == 18 > luck
    trace = play(task, "guide", 4)
    assert (trace.summary.ended, trace.summary.ending) == ("done", "at the top")
    game = open_at(trace, 2).start(task, {})  # compares every state on the way
    again = task.restore(game.snapshot())
    assert again.state_hash() == game.state_hash() == trace.steps[1].state_hash


def test_the_run_kind_counts_and_stops_when_it_is_asked_to(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"kind": "count", "config": {"n": 3}}))
    asked = Cancellation()
    assert load_job("count")(open_job(tmp_path, asked)) == {"count": 3}
    assert (tmp_path / "events.jsonl").read_text().count('"metric"') == 3
    asked.set()
    with pytest.raises(Cancelled):
        load_job("count")(open_job(tmp_path, asked))


@pytest.mark.django_db
def test_the_page_is_for_members(settings, bob, client_of, client):
    module = ModuleType("crew_urls")
    code = TEXT.partition("from django.views")[2].partition("```")[0]
    exec("from django.views" + code, module.__dict__)
    module.urlpatterns = [path("crew/", module.crew), path("", include("synthweb.urls"))]
    settings.ROOT_URLCONF = module
    assert client.get("/crew/")["Location"].startswith("/login/")
    assert "Workers" in client_of(bob).get("/crew/").content.decode()
