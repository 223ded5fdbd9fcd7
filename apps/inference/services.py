"""All writes of usage: calls are added up in memory and written every few seconds.

A crash loses at most FLUSH_S of counts; runs keep their own figures in their traces.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.db import DatabaseError, transaction
from django.db.models import F
from django.utils.timezone import now

from apps.inference.models import Usage
from synthweb.callers import in_thread

logger = logging.getLogger(__name__)
FLUSH_S = 5.0
COUNTERS = ("n_calls", "n_errors", "prompt_tokens", "completion_tokens", "cost_usd")


class UsageKey(NamedTuple):
    project_id: int
    hour: datetime
    model: str
    provider: str


@dataclass(slots=True)
class Counts:
    """What one model was used for since the last write."""

    n_calls: int = 0
    n_errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0


_waiting: dict[UsageKey, Counts] = {}
_writer: set[asyncio.Task[None]] = set()


def count_call(
    *,
    project_id: int,
    model: str,
    provider: str,
    prompt_tokens: int = 0,
    completion_tokens: int = 0,
    cost_usd: float = 0.0,
    failed: bool = False,
) -> None:
    """Add one call; called on the event loop, never waits. The first call starts the writer."""
    hour = now().replace(minute=0, second=0, microsecond=0)
    counts = _waiting.setdefault(UsageKey(project_id, hour, model[:300], provider), Counts())
    counts.n_calls += 1
    counts.n_errors += failed
    counts.prompt_tokens += prompt_tokens
    counts.completion_tokens += completion_tokens
    counts.cost_usd += cost_usd
    if not _writer:
        task = asyncio.get_running_loop().create_task(_write_later())
        _writer.add(task)
        task.add_done_callback(_writer.discard)


async def _write_later() -> None:
    await asyncio.sleep(FLUSH_S)
    taken = dict(_waiting)
    _waiting.clear()
    try:
        await in_thread(lambda: add_usage(taken))
    except DatabaseError as err:
        logger.warning("usage of %d models is not counted: %s", len(taken), err)


def add_usage(taken: dict[UsageKey, Counts]) -> None:
    """Add counts to their hours' rows, in one transaction."""
    with transaction.atomic():
        for key, counts in taken.items():
            Usage.objects.get_or_create(**key._asdict())
            changes = {name: F(name) + getattr(counts, name) for name in COUNTERS}
            Usage.objects.filter(**key._asdict()).update(**changes)
