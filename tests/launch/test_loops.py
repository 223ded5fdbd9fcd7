"""The three loops of the buttons: estimates are measured here or documented, never invented."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.utils.timezone import now

from apps.launch.models import Pipeline, PipelineState
from apps.launch.queries.loops import LOOPS, list_loops
from apps.runs.models import Config
from apps.runs.services import store_config

pytestmark = pytest.mark.django_db


def finish_loop(
    project, file: str, seconds: int, *, state=PipelineState.SUCCEEDED, more=""
) -> None:
    text = (settings.BASE_DIR / "configs" / file).read_text() + more
    config: Config = store_config(
        project=project, user=None, name=file, kind="pipeline", toml=text, data={}
    )
    row = Pipeline.objects.create(project=project, name=file, config=config, state=state)
    Pipeline.objects.filter(pk=row.pk).update(ended_at=row.created_at + timedelta(seconds=seconds))


def test_a_loop_that_ran_here_is_estimated_by_its_middle_run(project, mallory):
    for seconds in (100, 140, 900):
        finish_loop(project, "loop_demo.toml", seconds)
    finish_loop(mallory.projects.get(), "loop_demo.toml", 5)
    demo = list_loops(project=project)[0]
    assert (demo.seconds, demo.n_measured) == (140, 3)


def test_a_loop_that_never_ran_through_here_keeps_the_documented_time(project):
    finish_loop(project, "loop_small.toml", 60, state=PipelineState.FAILED)
    finish_loop(project, "loop_small.toml", 60, more="# with fewer games\n")
    laptop = list_loops(project=project)[1]
    assert (laptop.seconds, laptop.n_measured) == (laptop.loop.documented_s, 0)


def test_the_loop_of_the_gpu_says_what_is_missing_and_is_refused(project, alice, client_of):
    gpu = list_loops(project=project)[2]
    assert "Qwen/Qwen3-4B is not among the checkpoints here." in gpu.missing
    page = client_of(alice).get("/pipelines/").content.decode()
    assert "not yet run on a GPU" in page
    answer = client_of(alice).post("/start/", {"what": "gpu"})
    assert answer.status_code == 409
    assert not Pipeline.objects.filter(created_at__lte=now()).exists()


def test_a_loop_of_home_starts_its_pipeline(project, alice, client_of):
    browser = client_of(alice)
    page = browser.get("/").content.decode()
    assert all(f'value="{loop.key}"' in page for loop in LOOPS)
    answer = browser.post("/start/", {"what": "demo"})
    assert answer.status_code == 302
    assert Pipeline.objects.get(project=project).name == "the loop, short"
