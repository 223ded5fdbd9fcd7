"""How often a run may try again, and how long it waits before it does.

Lives here: the retry budget and the waiting time. Not here: what is worth a retry (`client.py`).
A model API that is down must not turn every episode into minutes of retries: all episodes of an
attempt take from one budget (its share of the run's), and when it is empty each further failure
ends its episode at once.
"""

from __future__ import annotations

import random
from email.utils import parsedate_to_datetime
from time import time

FIRST_WAIT_S = 0.5
MAX_BACKOFF_S = 20.0


class RetryBudget:
    """Retries that a shard may still spend. Used by one event loop only, so it needs no lock."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0
        self.refused = 0  # failures that would have been retried, had anything been left

    def take(self) -> bool:
        """Spend one retry; False when none is left."""
        if self.used >= self.total:
            self.refused += 1
            return False
        self.used += 1
        return True


def backoff_s(n_failures: int, retry_after_s: float | None, rng: random.Random) -> float:
    """Seconds to wait after the `n_failures`-th failure in a row of one call.

    What the server asked for is honoured in full, plus up to 10 % so that callers do not come back
    in step. Otherwise doubling from 0.5 s to 20 s, of which a random half is taken off.
    """
    if retry_after_s is not None:
        return retry_after_s * (1 + 0.1 * rng.random())
    ceiling = min(MAX_BACKOFF_S, FIRST_WAIT_S * 2 ** (n_failures - 1))
    return float(ceiling * (0.5 + 0.5 * rng.random()))


def parse_retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header (a number or a date, RFC 9110 §10.2.3); None if odd."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if seconds < float("inf") else None
