"""What an engine takes of the machine is measured for real, kept as metrics, and shown."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from apps.runs.ingest import add_values
from apps.runs.queries import list_points
from apps.worker.resources import CPU, MEMORY, Sampler
from tests.games import make_run

BUSY = "keep = bytearray(50_000_000)\nwhile True: pass"


def test_a_busy_child_and_its_memory_are_seen():
    with subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True) as child:
        try:
            sampler = Sampler(child.pid, every_s=1.0)
            assert sampler.sample() is None  # not due yet
            deadline = time.monotonic() + 10
            while (found := sampler.sample()) is None and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            child.kill()
    assert found is not None
    assert 5 < found[CPU] < 150  # one busy thread, on a machine that others use too
    assert found[MEMORY] > 50


def test_a_child_that_is_gone_gives_no_sample():
    with subprocess.Popen([sys.executable, "-c", ""], start_new_session=True) as child:
        sampler = Sampler(child.pid, every_s=0.0)
        child.wait()
    assert sampler.sample() is None


@pytest.mark.django_db
def test_samples_are_metrics_that_the_runs_page_shows(project, alice, client_of):
    run = make_run(project, "sft")
    for step, memory in ((5, 120.0), (10, 480.0)):
        add_values(run, step=step, values={CPU: 80.0, MEMORY: memory})
    assert [(p.step, p.value) for p in list_points(run=run, names=[MEMORY])] == [
        (5, 120.0), (10, 480.0)
    ]  # fmt: skip
    page = client_of(alice).get(f"/runs/{run.pk}/").content.decode()
    assert "What it took of the machine" in page
    assert ">480<" in page
    points = client_of(alice).get(f"/runs/{run.pk}/points/").json()
    assert points["series"] == []  # seconds do not mix with the steps of the run's own curves
