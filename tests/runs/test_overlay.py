"""Curves over each other: reduced to a screen, with every spike still there."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils.timezone import now

from apps.runs.models import MetricPoint, MetricSeries, Run
from apps.runs.queries.overlay import MAX_STRETCHES, list_lines, list_names
from tests.games import make_run

pytestmark = pytest.mark.django_db


def curve(run: Run, name: str, values: list[float], every: int = 1) -> MetricSeries:
    """Values at steps every, 2·every, …, one a second."""
    last = len(values) * every
    series = MetricSeries.objects.create(
        run=run, name=name, n_points=len(values), last_step=last, last_value=values[-1]
    )
    start = run.started_at
    assert start is not None
    MetricPoint.objects.bulk_create(
        MetricPoint(series=series, step=i * every, value=v, at=start + timedelta(seconds=i), seq=i)
        for i, v in enumerate(values, start=1)
    )
    return series


@pytest.fixture
def run(project) -> Run:
    run = make_run(project, kind="sft")
    run.started_at = now()
    run.save(update_fields=["started_at"])
    return run


def test_a_short_curve_comes_whole(run):
    curve(run, "loss", [3.0, 2.0, 1.0], every=10)
    [line] = list_lines(runs=[run], names=["loss"])
    assert (line.x, line.mean) == ([10, 20, 30], [3.0, 2.0, 1.0])
    assert line.low == line.high == line.mean


def test_a_long_curve_fits_a_screen_and_keeps_its_spikes(run):
    values = [1.0] * 20_000
    values[7_777], values[13_000] = 50.0, -50.0
    curve(run, "loss", values)
    [line] = list_lines(runs=[run], names=["loss"])
    assert MAX_STRETCHES - 2 <= len(line.x) <= MAX_STRETCHES + 1
    assert (max(line.high), min(line.low)) == (50.0, -50.0)
    assert line.x == sorted(line.x)
    assert line.x[-1] == 20_000


def test_a_part_of_a_curve_has_all_of_the_screen(run):
    curve(run, "loss", [float(i) for i in range(20_000)])
    [line] = list_lines(runs=[run], names=["loss"], first=500, last=599)
    assert line.x == [float(step) for step in range(500, 600)]


def test_a_place_is_a_step_a_second_or_a_token(run):
    curve(run, "loss", [2.0, 1.0, 0.5])
    curve(run, "tokens", [100.0, 250.0, 400.0])
    by = {x: list_lines(runs=[run], names=["loss"], x=x)[0].x for x in ("step", "time", "tokens")}
    assert by == {"step": [1, 2, 3], "time": [1.0, 2.0, 3.0], "tokens": [100.0, 250.0, 400.0]}


def test_lines_and_names_of_several_runs_stand_in_order(run, project):
    other = make_run(project, kind="sft")
    Run.objects.filter(pk=other.pk).update(started_at=run.started_at)
    other.refresh_from_db()
    for each, name in ((run, "loss"), (other, "loss"), (other, "extra")):
        curve(each, name, [1.0])
    lines = list_lines(runs=[other, run], names=["extra", "loss"])
    assert [(line.name, line.run_id) for line in lines] == [
        ("extra", other.pk), ("loss", other.pk), ("loss", run.pk),
    ]  # fmt: skip
    assert [(row.name, row.n_runs) for row in list_names(runs=[run, other])] == [
        ("loss", 2), ("extra", 1),
    ]  # fmt: skip


def test_a_page_of_curves_never_shows_runs_of_another_project(client_of, alice, run, mallory):
    curve(run, "secret.loss", [1.0])
    assert b"secret.loss" in client_of(alice).get(f"/curves/?runs={run.pk}").content
    for address in (f"/curves/?runs={run.pk}", f"/curves/lines/?runs={run.pk}&name=secret.loss"):
        answer = client_of(mallory).get(address)
        assert answer.status_code in (200, 403)
        assert b"[1.0]" not in answer.content
        assert b"data-metric" not in answer.content


def test_a_metric_with_bounds_of_its_own_has_them_as_its_band(client_of, alice, run):
    for end, value in (("", 2.0), ("_low", 1.0), ("_high", 4.0)):
        curve(run, f"train.reward{end}", [value, value])
    browser = client_of(alice)
    answer = browser.get(f"/curves/lines/?runs={run.pk}&name=train.reward").json()
    [line] = answer["lines"]
    assert (line["y"], line["low"], line["high"]) == ([2.0, 2.0], [1.0, 1.0], [4.0, 4.0])
    page = browser.get(f"/curves/?runs={run.pk}").content
    assert b'data-metric="train.reward"' in page
    assert b"train.reward_low" not in page


def test_lines_are_read_by_a_fixed_number_of_queries(run, django_assert_num_queries):
    for i in range(5):
        curve(run, f"m{i}", [1.0, 2.0])
    with django_assert_num_queries(2):
        list_lines(runs=[run], names=[f"m{i}" for i in range(5)])
