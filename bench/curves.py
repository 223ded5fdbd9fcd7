"""Curves for a screen: `python -m bench.curves [--full]`.

Answers of `/curves/lines/` from a fresh SQLite database through Django's request cycle, without a
socket: one curve of 10 k and of 100 k points, 20 runs over each other, 200 runs × 20 metrics × 500
points (100 runs in the quick size), and how many bytes go to the browser.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.figures import Figures

if TYPE_CHECKING:
    from django.test import Client

ROUNDS = 5


def main(full: bool) -> int:
    """Measure in a home of its own; 1 when a figure missed its bound."""
    with tempfile.TemporaryDirectory(prefix="bench-curves-") as home:
        os.environ |= {"SYNTHWEB_HOME": home, "DJANGO_SETTINGS_MODULE": "synthweb.settings"}
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        return _measure(full)


def _measure(full: bool) -> int:
    client = _client()
    figures = Figures("curves", full=full)
    n_runs = 200 if full else 100
    long, longer = _make_run(1, 10_000), _make_run(1, 100_000)
    twenty = [_make_run(5, 1_000) for _ in range(20)]
    many = [_make_run(20, 500) for _ in range(n_runs)]
    for words, runs, n_names, bound in (
        ("one curve of 10 k points", [long], 1, 20),
        ("one curve of 100 k points", [longer], 1, 500),
        ("20 runs × 5 metrics × 1,000 points", twenty, 5, 1000),
        (f"{n_runs} runs × 20 metrics × 500 points", many, 20, 1500 * n_runs / 200),
    ):
        ms, size = _ask(client, runs, n_names)
        figures.add(f"{words}, median", ms, "ms", at_most=bound)
        figures.add(f"{words}, answer", size / 1024, "KiB")
    return figures.finish()


def _ask(client: Client, runs: list[int], n_names: int) -> tuple[float, int]:
    names = "".join(f"&name=m{i}" for i in range(n_names))
    address = f"/curves/lines/?runs={','.join(map(str, runs))}{names}"
    took, size = [], 0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        answer = client.get(address)
        took.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200
        size = len(answer.content)
    return median(took), size


def _client() -> Client:
    from django.conf import settings
    from django.test import Client

    from apps.accounts.models import User
    from apps.accounts.services import create_project

    settings.ALLOWED_HOSTS = ["testserver"]
    user = User.objects.create_user("bench")
    create_project(slug="bench", name="Bench", owner=user)
    client = Client()
    client.force_login(user)
    return client


def _make_run(n_metrics: int, n_points: int) -> int:
    """A finished training with curves m0, m1, …; returns its number."""
    from django.db import connection
    from django.utils.timezone import now

    from apps.accounts.models import Project
    from apps.runs.models import MetricPoint, MetricSeries
    from apps.runs.services import ShardPlan, create_run

    run = create_run(
        project=Project.objects.get(), user=None, kind="sft", name="bench", config=None,
        resolved={}, inputs={}, shards=[ShardPlan(total=0)],
    )  # fmt: skip
    at = connection.ops.adapt_datetimefield_value(now())
    table = connection.ops.quote_name(MetricPoint._meta.db_table)
    for i in range(n_metrics):
        series = MetricSeries.objects.create(
            run=run, name=f"m{i}", n_points=n_points, last_step=n_points
        )
        rows: list[Any] = [
            (series.pk, step, (step * 7919 % 1000) / (i + 1), at, step)
            for step in range(1, n_points + 1)
        ]
        with connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {table} (series_id, step, value, at, seq) VALUES (%s,%s,%s,%s,%s)",
                rows,
            )
    return run.pk


if __name__ == "__main__":
    sys.exit(main("--full" in sys.argv))
