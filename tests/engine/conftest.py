"""What the tests of trainings share: a model that plays already."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def player(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its checkpoint, to start from; never written to."""
    return share_player(tmp_path_factory)


def share_player(factory: pytest.TempPathFactory) -> Path:
    """The player of this session: the first process that wants it makes it, the others wait."""
    from tests.engine.train.players import make_player  # torch

    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared-player"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return folder / "player" if (folder / "player").exists() else make_player(folder)
