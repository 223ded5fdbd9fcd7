"""Every `manage.py` command of the workflow pages runs as it stands there.

A launch is a command that stores, checks and queues; that is run here for every one. What it queued
is then played for those that end in seconds, with fewer games, on a whole instance. Trainings are
not: tests/e2e/test_story.py plays the demo (starting model, dataset, SFT, eval), tests/train and
tests/faults the rest. `loop FILE`: tests/launch/test_loop_command.py, with a short pipeline.
tracing.md: test_tracing.py.
"""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from apps.providers.models import ProviderKind
from apps.providers.services import create_provider
from apps.runs.models import Run, RunState
from tests.games import make_run, make_trace, store_games
from tests.launch.conftest import announce, make_checkpoint, starter
from tests.launch.test_importing_models import write_model
from tests.launch.test_shipped_configs import groq, machine
from tests.servers.instance import Instance
from tests.servers.task_app_server import TaskAppServer

__all__ = ["announce", "groq", "machine", "starter"]
ROOT = Path(__file__).resolve().parents[2]
PAGES = ("evaluation", "sft", "rl", "math_demo")
COMMAND = re.compile(r"^python manage\.py ((?!loop )\w.+)$", re.MULTILINE)
JOB = "job_0123456789abcdef"
MODELS = ("ft:synthweb/crafter-small", "rl:synthweb/crafter-small", "ft:synthweb/math-small")
SECONDS = ("random", "guide", "collect")  # configs of scripted players


def commands_of(page: str) -> list[str]:
    text = (ROOT / "docs" / "workflows" / f"{page}.md").read_text()
    return COMMAND.findall(text.replace("\\\n", " "))  # a command may go on in the next line


@pytest.fixture
def words(actor, machine: dict[str, Any], alice, settings, tmp_path, monkeypatch):
    """What stands for the pages' placeholders; one's folder is a checkout, and much is there."""
    alice.is_superuser = True
    alice.save()
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    write_model(tmp_path / "models" / "my-model")
    monkeypatch.chdir(tmp_path)
    for model in MODELS:
        make_checkpoint(actor.project, f"{model}:{JOB}")
    run = make_run(actor.project, "rollout", model="guide")
    Run.objects.filter(pk=run.pk).update(state=RunState.SUCCEEDED)
    names = [f"achievement_{i}" for i in range(12)]
    store_games(run, [make_trace(1, model="guide", unlocks=names, n_turns=12)])
    with TaskAppServer(key="env-key-0123456789") as app:
        own = (f"127.0.0.1:{app.port}", "127.0.0.1:8001")  # the latter is the vLLM server of a page
        settings.ALLOW_HOSTS = [*settings.ALLOW_HOSTS, *own]
        create_provider(
            actor=actor, name="remote", base_url=app.url, key=app.key, kind=ProviderKind.TASK_APP
        )
        yield {
            "provider=NAME": "provider=groq",
            "MODEL": "qwen",
            "job_ID": JOB,
            "run 1 ": f"run {run.pk} ",
            "dataset:1": f"dataset:{machine['data']}",
            "http://127.0.0.1:8002": app.url,
            "task_app_url=URL": f"task_app_url={app.url}",
            "inference_url=URL": f"inference_url={machine['groq']}",
        }


@pytest.mark.django_db
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_in_order(page, words, machine) -> None:
    lines = commands_of(page)
    assert len(lines) >= 2
    for line in lines:
        typed = line
        for placeholder, value in words.items():
            typed = typed.replace(placeholder, value)
        if "groq_qwen32b" in line or "stepwise" in line:  # no test asks Groq itself
            typed += f" --set inference_url={machine['groq']}"
        if line.startswith("import_model "):  # it waits for a worker, and there is none
            typed += " --detach"
        said = _type(typed)
        assert ("queued: " in said) == ("--launch" in line), f"{line}: {said}"


def _type(line: str) -> str:
    name, *rest = shlex.split(line)
    out, err, code = io.StringIO(), io.StringIO(), None
    try:
        call_command(name, *rest, stdout=out, stderr=err)
    except SystemExit as ended:
        code = ended.code
    assert not code, f"{line} ended with {code}: {out.getvalue()}{err.getvalue()}"
    return out.getvalue()


@pytest.mark.slow
def test_what_the_pages_launch_for_scripted_players_is_played(instance: Instance) -> None:
    lines = [
        line
        for page in ("evaluation", "math_demo")
        for line in commands_of(page)
        if re.search(rf"_({'|'.join(SECONDS)})\.toml --launch$", line)
    ]
    assert len(lines) == 5
    for line in lines:
        done = instance.manage(*shlex.split(line), "--set", "seeds=1..3")
        run = re.findall(r"Run (\d+) queued", done.stdout)[0]
        told = instance.manage("run", run, "--follow").stdout
        assert "succeeded, 3/3" in told, told
