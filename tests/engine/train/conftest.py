from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.train.players import make_player


@pytest.fixture(scope="session")
def player(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_player(tmp_path_factory.mktemp("player"))
