"""The clock that leases are compared with: the database's on Postgres, the host's on SQLite.

On Postgres a worker whose clock jumps changes nothing, because both sides of every comparison are
read from the database. SQLite has only the host's clock; a jump costs at most one extra attempt,
which the fencing token keeps harmless.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import DateTimeField, ExpressionWrapper, Value
from django.db.models.functions import Now
from django.utils import timezone


def lease_now() -> Any:
    """This moment, as a value or expression for filters and updates."""
    return Now() if connection.vendor == "postgresql" else timezone.now()


def lease_after(seconds: float) -> Any:
    """`seconds` from now, as a value or expression for filters and updates."""
    delta = timedelta(seconds=seconds)
    if connection.vendor == "postgresql":
        return ExpressionWrapper(Now() + Value(delta), output_field=DateTimeField())
    return timezone.now() + delta


def lease_end() -> Any:
    """When a lease taken or renewed now runs out."""
    return lease_after(settings.LEASE_SECONDS)


def from_epoch(seconds: float) -> datetime:
    """The engine's `at` as an aware datetime."""
    return datetime.fromtimestamp(seconds, tz=timezone.get_default_timezone())
