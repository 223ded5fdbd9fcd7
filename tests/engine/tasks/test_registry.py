"""Task apps by name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from engine.errors import ConfigError
from engine.tasks import get_task, task_names


@pytest.mark.parametrize("name", ["crafter", "grpo-crafter", "crafter-task", "CrafterClassic"])
def test_a_task_is_found_by_name_and_alias(name: str) -> None:
    assert get_task(name) is get_task("crafter")


def test_an_unknown_task_lists_the_known() -> None:
    with pytest.raises(ConfigError, match=r"'chess' is unknown; known: .*crafter"):
        get_task("chess")


def test_the_registry_names_the_aliases_that_the_task_names() -> None:
    for name in task_names():
        task = get_task(name)
        assert task.name == name
        assert all(get_task(alias) is task for alias in task.aliases)


def test_asking_for_names_imports_no_game() -> None:
    code = "import sys, engine.tasks as t; t.task_names(); print('crafter' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
