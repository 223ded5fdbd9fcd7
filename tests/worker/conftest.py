"""Runs that real engine children work on, supervised in this process."""

from __future__ import annotations

import pytest

from tests.runs.conftest import claim, make_run

__all__ = ["claim", "make_run"]


@pytest.fixture(autouse=True)
def _short_leases(settings):
    """Seconds instead of half a minute, so that a fault is over before anyone gets bored."""
    settings.LEASE_SECONDS, settings.RENEW_SECONDS, settings.RETRY_BACK_OFF_SECONDS = 3, 1, 0
