"""Doorbells: tell whoever waits that there is something new in the database. Nothing is carried.

`ring` never fails and never waits long: readers poll every second anyway, the tick rings again.
"""

from __future__ import annotations

import contextlib
import threading

import redis
from django.conf import settings
from django.db import transaction

CHANNEL = "synthweb:bell"
TIMEOUT_S = 0.5

_local = threading.local()


def ring(channel: str) -> None:
    """Publish `channel` ("run:31", "live", "pages:runs") once the current transaction commits.

    Outside a transaction it rings at once. Safe from any thread; a dead broker is ignored.
    """
    transaction.on_commit(lambda: ring_now(channel), robust=True)


def ring_now(channel: str) -> bool:
    """Publish at once; False when the broker did not take it."""
    with contextlib.suppress(redis.RedisError, OSError):
        _client().publish(CHANNEL, channel)
        return True
    return False


def connect(timeout_s: float | None = TIMEOUT_S) -> redis.Redis:
    """A connection to the broker; `timeout_s` bounds each answer."""
    return redis.Redis.from_url(
        settings.BROKER_URL, socket_timeout=timeout_s, socket_connect_timeout=TIMEOUT_S
    )


def forget_client() -> None:
    """Connect anew next time: the address has changed."""
    _local.__dict__.clear()


def _client() -> redis.Redis:
    """One client a thread, so that a slow one holds up nobody else."""
    if not hasattr(_local, "client"):
        _local.client = connect()
    client: redis.Redis = _local.client
    return client
