"""Waiting for a database that is locked or away, instead of losing the work of a child."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

log = logging.getLogger(__name__)

T = TypeVar("T")
GIVE_UP_S = 600.0
PAUSE_S = 1.0


def patiently(action: Callable[[], T], *, stop: Callable[[], bool] = lambda: False) -> T:
    """Do `action`, again and again while the database is away; for 10 minutes, or until `stop`.

    SQLite waits 20 s by itself before it says "locked". `action` must be safe to repeat: each of
    ours is one transaction. Raises the last OperationalError or InterfaceError.
    """
    began = time.monotonic()
    while True:
        try:
            return action()
        except (OperationalError, InterfaceError) as err:
            if stop() or time.monotonic() - began > GIVE_UP_S:
                raise
            log.warning("the database is away, trying again: %s", err)
            connection.close()
            time.sleep(PAUSE_S)
