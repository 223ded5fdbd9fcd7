"""The list of runs: its orders page through every run, and what ticked runs are put to."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils.timezone import now

from apps.runs.models import Run, RunTag
from apps.runs.queries import list_runs
from apps.runs.queries.ordering import ORDERS
from tests.games import make_run

pytestmark = pytest.mark.django_db


def play(project, *, mean: float | None = None, seconds: int | None = None) -> int:
    run = make_run(project)
    result = {} if mean is None else {"unique": {"n": 5, "mean": mean, "low": 0, "high": 9}}
    ended = None if seconds is None else run.created_at + timedelta(seconds=seconds)
    Run.objects.filter(pk=run.pk).update(result=result, started_at=run.created_at, ended_at=ended)
    return run.pk


def walk(project, order: str) -> list[int]:
    found, cursor = [], None
    while True:
        page = list_runs(project=project, order=order, cursor=cursor, limit=2)
        found += [row.id for row in page.items]
        cursor = page.next
        if cursor is None:
            return found


def test_an_order_pages_through_every_run_and_puts_those_without_a_value_last(project):
    worst, none, best, same = (play(project, mean=m) for m in (1.5, None, 7.25, 1.5))
    assert walk(project, "-score") == [best, same, worst, none]
    assert walk(project, "score") == [worst, same, best, none]
    for order in ORDERS:
        assert sorted(walk(project, order)) == [worst, none, best, same]


def test_the_longest_run_comes_first_by_time(project):
    short, long, running = (play(project, seconds=s) for s in (5, 500, None))
    assert walk(project, "-took") == [long, short, running]
    assert walk(project, "took") == [short, long, running]


def test_ticked_runs_are_tagged_and_found_by_their_tag(project, alice, client_of):
    runs = [make_run(project).pk for _ in range(3)]
    browser = client_of(alice)
    browser.post("/runs/bulk/", {"runs": runs[:2], "verb": "tag", "tag": "paper"})
    assert RunTag.objects.filter(name="paper").count() == 2
    page = browser.get("/runs/?tag=paper").content.decode()
    assert f"run-{runs[0]}" in page
    assert f"run-{runs[2]}" not in page
    browser.post("/runs/bulk/", {"runs": runs[:1], "verb": "untag", "tag": "paper"})
    assert [row.run_id for row in RunTag.objects.all()] == [runs[1]]


def test_what_cannot_be_cancelled_is_said_and_the_others_are(project, alice, client_of):
    waiting, over = make_run(project), make_run(project)
    Run.objects.filter(pk=over.pk).update(state="succeeded", ended_at=now())
    form = {"runs": [waiting.pk, over.pk], "verb": "cancel"}
    page = client_of(alice).post("/runs/bulk/", form, follow=True).content.decode()
    assert f"Run {over.pk} cannot be cancelled" in page
    assert "1 of 2 runs" in page
    waiting.refresh_from_db()
    assert waiting.state == "cancelled"


def test_nobody_acts_on_runs_of_another_project(project, mallory, client_of):
    run = make_run(project)
    answer = client_of(mallory).post("/runs/bulk/", {"runs": [run.pk], "verb": "cancel"})
    assert answer.status_code == 404
    run.refresh_from_db()
    assert run.state == "draft"


def test_ticked_runs_are_compared_by_an_address(project, alice, client_of):
    answer = client_of(alice).post("/runs/bulk/", {"runs": [3, 4], "verb": "compare"})
    assert answer["Location"] == "/compare/?runs=3,4"
