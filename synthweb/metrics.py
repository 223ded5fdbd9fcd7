"""What `/metrics` says, in Prometheus' text format. Numbers and states only: no names, no keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import psutil
import redis
from django.conf import settings
from django.db.models import Sum

from apps.inference.models import Usage
from apps.runs.models import Run, ShardState
from apps.runs.queries import count_states
from synthweb import bell
from synthweb.streams.hub import hub


class Metric(NamedTuple):
    """`samples`: labels as text (`state="running"`, or "") → value."""

    name: str
    kind: str  # gauge | counter
    help: str
    samples: Mapping[str, float]


def render() -> str:
    """All metrics, each with its HELP and TYPE line."""
    lines: list[str] = []
    for metric in collect():
        lines += [
            f"# HELP synthweb_{metric.name} {metric.help}",
            f"# TYPE synthweb_{metric.name} {metric.kind}",
        ]
        for labels, value in metric.samples.items():
            shown = f"{{{labels}}}" if labels else ""
            lines.append(f"synthweb_{metric.name}{shown} {value:g}")
    return "\n".join(lines) + "\n"


def collect() -> Iterable[Metric]:
    """Read everything once; three counting queries and one round trip to the broker."""
    counts = count_states()
    yield Metric("runs", "gauge", "Runs by state.", by("state", counts.runs))
    yield Metric("shards", "gauge", "Shards by state.", by("state", counts.shards))
    queued = counts.shards.get(ShardState.QUEUED, 0)
    yield Metric("queued_shards", "gauge", "Shards that wait for a worker.", {"": queued})
    yield Metric("workers", "gauge", "Workers that reported lately.", {"": counts.n_workers})
    events = Run.objects.aggregate(n=Sum("event_seq"))["n"] or 0
    yield Metric("events_total", "counter", "Events ingested in all runs.", {"": events})
    usage = Usage.objects.aggregate(
        n=Sum("n_calls"), bad=Sum("n_errors"), i=Sum("prompt_tokens"), o=Sum("completion_tokens")
    )
    used = {name: float(value or 0) for name, value in usage.items()}
    yield Metric("model_calls_total", "counter", "Calls by /api/inference.", {"": used["n"]})
    yield Metric("model_errors_total", "counter", "Calls that failed.", {"": used["bad"]})
    tokens = {'direction="in"': used["i"], 'direction="out"': used["o"]}
    yield Metric("model_tokens_total", "counter", "Tokens by /api/inference.", tokens)
    yield Metric("doorbells", "gauge", "Messages waiting in the broker.", by("queue", doorbells()))
    yield Metric("stream_clients", "gauge", "Open event streams.", {"": hub.n_clients})
    memory = psutil.Process().memory_info().rss
    yield Metric("web_memory_bytes", "gauge", "Resident memory of the web.", {"": memory})


def by(label: str, values: Mapping[str, float]) -> dict[str, float]:
    """Samples with one label. Values of labels are our own words, so nothing needs escaping."""
    return {f'{label}="{name}"': value for name, value in sorted(values.items())}


def doorbells() -> dict[str, float]:
    """Length of each queue at the broker; empty while it is away."""
    try:
        with bell.connect() as client:
            return {need: float(client.llen(need)) for need in settings.SLOTS}
    except (redis.RedisError, OSError):
        return {}
