"""What clients see of Math over HTTP (CONTRACT §2)."""

from __future__ import annotations

import json

from engine.tasks import get_face, get_task
from engine.tasks.face import Score

FACE = get_face("math-single-step")
TASK = get_task("math")


def test_the_solution_is_told_only_when_the_episode_is_over() -> None:
    game = TASK.new_game(7, {"split": "test", "attempts": 2, "difficulty": "easy"})
    solution = game.problem.answer  # type: ignore[attr-defined]
    shown = FACE.observation(game, Score())
    assert (shown["split"], shown["index"], shown["problem"]) == ("test", 7, game.text())
    assert FACE.step_info(game, ()) == {}
    game.step("1234567")
    assert FACE.step_info(game, ()) == {"correct": False, "status": "incorrect"}
    game.step(solution)
    assert FACE.step_info(game, ())["expected_answer"] == solution
    assert FACE.observation(game, Score())["status"] == "correct"
    assert FACE.details(game) == {"status": "correct", "correct": True}


def test_a_client_chooses_split_and_index_and_other_keys_mean_nothing() -> None:
    options = FACE.read_options(
        {"split": "validation", "index": 3, "area": [64, 64], "family": None}
    )
    assert options == {"split": "validation", "index": 3}
    game = TASK.new_game(99, options)
    assert FACE.env_id(game) == "math::validation::3"
    assert game.text() == TASK.new_game(3, {"split": "test"}).text()


def test_what_is_told_of_the_task_is_json_and_names_what_there_is() -> None:
    about = json.loads(json.dumps(FACE.about()))
    assert about["task"]["id"] == "math_single_step"
    assert about["dataset"]["splits"] == ["train", "validation", "test"]
    facts = FACE.facts(TASK.new_game(5, {}))
    assert facts["observation"]["seed"] == 5
    assert facts["observation"].keys() == {"seed", "problem", "index", "split"}
