"""What games begin with is made in another process, and is the same."""

from __future__ import annotations

import os
import signal

import pytest

from engine.errors import ConfigError
from engine.tasks.apart import Apart
from engine.tasks.crafter.store import make_world
from engine.tasks.math.names import DEFAULTS, LOCAL, PROBLEMS_VARIABLE
from engine.tasks.math.problems import find_problem


def test_a_world_made_in_another_process_is_the_same() -> None:
    assert Apart(make_world)(11, "easy") == make_world(11, "easy")


@pytest.mark.slow  # imports reasoning-gym twice
def test_a_problem_made_in_another_process_is_the_same() -> None:
    assert Apart(find_problem)(11, DEFAULTS) == find_problem(11, DEFAULTS)


def test_an_error_keeps_its_words_and_a_killed_process_is_replaced(monkeypatch) -> None:
    monkeypatch.delenv(PROBLEMS_VARIABLE, raising=False)
    apart = Apart(find_problem)
    with pytest.raises(ConfigError, match="no file of local problems") as refused:
        apart(1, {**DEFAULTS, "family": LOCAL})
    assert PROBLEMS_VARIABLE in refused.value.hint
    asked = Apart(os.getpid)
    first = asked()
    assert first != os.getpid()
    os.kill(first, signal.SIGKILL)
    assert asked()
