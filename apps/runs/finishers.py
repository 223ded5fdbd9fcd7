"""What rooms above register with the runs: how a kind's result is made, and which episodes exist.

`FINISHERS[kind]` makes `run.result` when all shards are over, also of failed and cancelled runs
(partial results). `EPISODES` is filled in by `apps.worker`, which may look into traces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apps.runs.models import Run, Shard

Finisher = Callable[[Run], dict[str, Any]]
FINISHERS: dict[str, Finisher] = {}


class EpisodeSource:
    """Two questions about stored episodes that only rooms above can answer."""

    broken_shards: Callable[[Run], list[int]] = staticmethod(lambda run: [])
    """Ids of the shards that hold broken episodes."""


EPISODES = EpisodeSource()


def default_result(run: Run) -> dict[str, Any]:
    """The values of a single shard; of several, a list of them in order. Partial ones count too."""
    values = list(Shard.objects.filter(run=run).order_by("index").values_list("result", flat=True))
    return dict(values[0]) if len(values) == 1 else {"shards": values}


def result_of(run: Run) -> dict[str, Any]:
    """The run's result by its kind's finisher. Errors of the finisher pass through."""
    return FINISHERS.get(run.kind, default_result)(run)
