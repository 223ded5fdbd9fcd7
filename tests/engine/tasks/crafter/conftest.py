"""A Crafter that keeps its worlds in memory only."""

from __future__ import annotations

import pytest

from engine.tasks.crafter.store import WorldStore
from engine.tasks.crafter.task import CrafterTask


@pytest.fixture(scope="session")
def task() -> CrafterTask:
    return CrafterTask(WorldStore(None))
