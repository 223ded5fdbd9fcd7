"""The names that scores are shown by are those of the game."""

from __future__ import annotations

import subprocess
import sys

from engine.tasks import achievements_of, get_task, task_names


def test_the_names_are_the_games_own():
    for name in task_names():
        assert achievements_of(name) == get_task(name).achievements


def test_asking_for_names_loads_no_game():
    code = "from engine.tasks import achievements_of as a; a('crafter'); import sys; "
    code += "print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
