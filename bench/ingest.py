"""Metric points a second from events.jsonl into SQLite, through the ingest that workers use.

`python -m bench.ingest [--full]`: a fresh database in a temporary home, one attempt, events of ten
values each; writing the file is not counted. Beside it, how long one point takes to be readable.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

from bench.figures import Figures

N_VALUES = 10
N_EVENTS, N_EVENTS_FULL = 30_000, 200_000
N_SINGLE = 50


def main(full: bool) -> int:
    """Measure in a home of its own; 1 when a figure missed its bound."""
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as home:
        os.environ["SYNTHWEB_HOME"] = home
        os.environ["DJANGO_SETTINGS_MODULE"] = "synthweb.settings"
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        return _measure(Path(home), N_EVENTS_FULL if full else N_EVENTS, full)


def _measure(home: Path, n_events: int, full: bool) -> int:
    from apps.runs.ingest import Source, ingest_ready
    from apps.runs.models import MetricPoint
    from apps.runs.services import claim_shard
    from engine.events import EventWriter

    _make_run()
    claim = claim_shard(worker="bench", need="rollout")
    assert claim is not None
    writer = EventWriter(home)
    for step in range(1, n_events + 1):
        writer.metric(step, {f"curve_{i}": step / (i + 1) for i in range(N_VALUES)})
    source = Source(claim.attempt_id, home)
    began = time.perf_counter()
    while ingest_ready(source, claim):
        pass
    took_s = time.perf_counter() - began
    assert MetricPoint.objects.count() == n_events * N_VALUES
    singles = []
    for step in range(N_SINGLE):
        writer.metric(n_events + step + 1, {"curve_0": 1.0})
        began = time.perf_counter()
        ingest_ready(source, claim)
        singles.append((time.perf_counter() - began) * 1000)
    for step in range(5_000):
        writer.metric(n_events + N_SINGLE + step + 1, {f"curve_{i}": 1.0 for i in range(N_VALUES)})
    tracemalloc.start()
    ingest_ready(source, claim)
    peak_mb = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    figures = Figures("ingest", full=full)
    figures.add("metric points into SQLite", n_events * N_VALUES / took_s, "/s")
    figures.add("one event to its row, median", statistics.median(singles), "ms", at_most=50)
    figures.add("memory of one full batch", peak_mb, "MB", at_most=64)
    return figures.finish()


def _make_run() -> None:
    from apps.accounts.models import Project
    from apps.runs.services import ShardPlan, create_run, queue_run

    project = Project.objects.create(slug="bench", name="Bench")
    run = create_run(
        project=project,
        user=None,
        kind="noop",
        name="bench",
        config=None,
        resolved={},
        inputs={},
        shards=[ShardPlan(total=1)],
    )
    queue_run(run=run)


if __name__ == "__main__":
    sys.exit(main("--full" in sys.argv))
