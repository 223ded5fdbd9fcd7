"""How fast every page and list answers with 1,000,000 stored steps.

`python -m bench.pages [--full]`: a real instance in a temporary home. 20 games are really played
through a run; their rows are then multiplied to 10,000 episodes of 100 steps in 100 runs (other
seeds, the same stored payloads), because playing a million steps would take an hour and the pages
cannot tell. Then a browser's session asks for every address in turn; times are the server's, as
the client sees them on loopback. Bound: p95 ≤ 150 ms each.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from bench.figures import Figures
from tests.servers.instance import Instance
from tests.servers.waiting import wait_until

N_PLAYED = 20
N_RUNS = 100
N_EPISODES = 100  # a run
MAX_MS = 150
PLAYED = (
    'type = "rollout"\nprovider = "builtin"\nmodel = "random"\n'
    f'seeds = "0..{N_PLAYED - 1}"\nmax_steps = 100\nmax_turns = 100\n'
)


def play(instance: Instance) -> int:
    """Play the games that are multiplied; the run's number."""
    run_id: int = instance.call("POST", "/api/v1/runs", {"toml": PLAYED})["id"]

    def is_over() -> bool:
        state = instance.call("GET", f"/api/v1/runs/{run_id}")["state"]
        return state not in ("queued", "running")

    wait_until(is_over, f"run {run_id}", 300)
    return run_id


def multiply(run_id: int) -> None:
    """Copy the run and its episodes' rows until there are a million steps."""
    from apps.runs.models import MetricPoint, MetricSeries, Run, Shard
    from apps.traces.models import Episode, EpisodeTurn, Unlock

    run = Run.objects.get(pk=run_id)
    played = list(Episode.objects.filter(run=run).order_by("id"))
    turns = {e.pk: list(EpisodeTurn.objects.filter(episode=e)) for e in played}
    unlocks = {e.pk: list(Unlock.objects.filter(episode=e)) for e in played}
    series = list(MetricSeries.objects.filter(run=run))
    points = {s.pk: list(MetricPoint.objects.filter(series=s)) for s in series}
    shard = Shard.objects.get(run=run)
    for number in range(N_RUNS - 1):
        copy = fresh(run, job_id=f"job_{number:016x}", kind="eval", name=f"copy {number}")
        copy.save()
        held = fresh(shard, run=copy)
        held.save()
        copies = [
            (fresh(old, run=copy, shard=held, seed=1000 * number + i), old)
            for i, old in zip(range(N_EPISODES), _forever(played), strict=False)
        ]
        Episode.objects.bulk_create([new for new, _ in copies])
        pairs = [(new, old.pk) for new, old in copies]
        EpisodeTurn.objects.bulk_create(fresh(t, episode=e) for e, pk in pairs for t in turns[pk])
        Unlock.objects.bulk_create(fresh(u, episode=e) for e, pk in pairs for u in unlocks[pk])
        for old_series in series:
            new_series = fresh(old_series, run=copy)
            new_series.save()
            MetricPoint.objects.bulk_create(
                fresh(p, series=new_series) for p in points[old_series.pk]
            )


def fresh(row: Any, **changes: Any) -> Any:
    """An unsaved copy of a row."""
    values = {f.attname: getattr(row, f.attname) for f in row._meta.fields if not f.primary_key}
    return type(row)(**{**values, **{_attname(row, k): _key(v) for k, v in changes.items()}})


def _attname(row: Any, name: str) -> str:
    return str(row._meta.get_field(name).attname)


def _key(value: Any) -> Any:
    return getattr(value, "pk", value)


def _forever(items: list[Any]) -> Iterator[Any]:
    while True:
        yield from items


def addresses() -> dict[str, str]:
    """What is measured: pages as people open them and the lists behind the API."""
    from apps.runs.models import Run
    from apps.traces.models import Episode

    run = Run.objects.filter(name__startswith="copy").latest("id").pk
    other = Run.objects.filter(name__startswith="copy").earliest("id").pk
    trace = Episode.objects.latest("id").pk
    return {
        "home": "/",
        "runs": "/runs/",
        "run": f"/runs/{run}/",
        "live": "/live/",
        "traces": "/traces/",
        "traces, best with wood": "/traces/?achievement=collect_wood&order=-n_achievements",
        "trace": f"/traces/{trace}/",
        "trace steps": f"/traces/{trace}/steps/",
        "compare": f"/compare/?runs={other},{run}",
        "datasets": "/datasets/",
        "checkpoints": "/checkpoints/",
        "configs": "/configs/",
        "queue": "/queue/",
        "settings": "/settings/",
        "storage": "/settings/storage/",
        "audit": "/settings/audit/",
        "API runs": "/api/v1/runs",
        "API traces": "/api/v1/traces",
        "API metrics": f"/api/v1/runs/{run}/metrics",
    }


def measure(instance: Instance, cookie: dict[str, str], n: int) -> dict[str, list[float]]:
    """Milliseconds of `n` requests of each address, in turns, so that drift hits all alike."""
    times: dict[str, list[float]] = {}
    with httpx.Client(base_url=instance.url, cookies=cookie, timeout=60) as client:
        for turn in range(n + 1):
            for name, address in addresses().items():
                began = time.perf_counter()
                answer = client.get(address)
                took = (time.perf_counter() - began) * 1000
                if answer.status_code != 200:
                    raise RuntimeError(f"{address} answered {answer.status_code}")
                if turn:  # the first is a warm-up
                    times.setdefault(name, []).append(took)
    return times


def prepare(instance: Instance) -> dict[str, str]:
    """Django on the instance's database; a logged-in session's cookie."""
    os.environ["SYNTHWEB_HOME"] = str(instance.home)
    os.environ["DJANGO_SETTINGS_MODULE"] = "synthweb.settings"
    import django

    django.setup()
    from django.conf import settings
    from django.test import Client

    from apps.accounts.models import User

    client = Client()
    client.force_login(User.objects.get())
    name = settings.SESSION_COOKIE_NAME
    return {name: client.cookies[name].value}


def main() -> int:
    full = "--full" in sys.argv
    figures = Figures("pages", full=full)
    with tempfile.TemporaryDirectory() as home:
        instance = Instance(Path(home), {})
        instance.start()
        try:
            cookie = prepare(instance)
            multiply(play(instance))
            from apps.traces.models import Episode

            figures.add("stored episodes", Episode.objects.count(), "")
            for name, times in measure(instance, cookie, 100 if full else 20).items():
                p95 = statistics.quantiles(times, n=20)[-1]
                figures.add(f"{name}, p95", p95, "ms", at_most=MAX_MS)
        finally:
            instance.stop()
    return figures.finish()


if __name__ == "__main__":
    sys.exit(main())
