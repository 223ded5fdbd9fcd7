"""How Math shows itself over HTTP (protocol: `engine.tasks.face.TaskFace`), as Synth's clients know
it: `math-single-step`. The solution is told only when the episode is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from engine.tasks import get_task
from engine.tasks.apart import Apart
from engine.tasks.base import Game
from engine.tasks.face import Score
from engine.tasks.math.calls import TOOL
from engine.tasks.math.names import DEFAULTS, DIFFICULTIES, SPLITS
from engine.tasks.math.problems import families, find_problem
from engine.tasks.math.task import CORRECT, MathGame, MathTask

_FIND = Apart(find_problem)
_CRITERIA = [
    {
        "id": "accuracy",
        "description": "The submitted answer has the value of the solution.",
        "weight": 1.0,
        "required": True,
    }
]


class MathFace:
    """See the module."""

    service = "math-single-step"
    environments: tuple[str, ...] = ("math", "math-single-step", "math_single_step")
    hint = f"Solve the problem. Answer with one call of {TOOL} with nothing but the final answer."

    def prepare(self) -> None:
        """The generator comes with the first problem, for most instances never."""
        cast(MathTask, get_task("math")).find = _FIND

    def about(self) -> dict[str, Any]:
        return {
            "task": {"id": "math_single_step", "name": "Math Single Step", "version": "1.0.0"},
            "dataset": {
                "id": "reasoning_gym",
                "name": "Problems of reasoning-gym, made from the seed",
                "version": "1.0.0",
                "splits": list(SPLITS),
                "default_split": DEFAULTS["split"],
                "cardinality": None,
                "description": "validation is test; train shares no problem with it.",
                "families": families(),
                "default_family": DEFAULTS["family"],
                "difficulties": list(DIFFICULTIES),
            },
            "action_space": {"type": "tool_call", "size": 1, "actions": [TOOL]},
            "rubrics": {
                name: {
                    "name": "accuracy",
                    "version": "1",
                    "goal_text": "Solve the problem.",
                    "criteria": _CRITERIA,
                    "aggregation": "weighted_sum",
                }
                for name in ("outcome", "events")
            },
        }

    def facts(self, game: Game) -> dict[str, Any]:
        played = cast(MathGame, game)
        options = {key: played.options[key] for key in ("split", "family", "difficulty")}
        problem = {"problem": played.problem.text, "index": played.problem.index}
        return {
            "observation": {"seed": game.seed, **problem, "split": options["split"]},
            "dataset": {"seed": game.seed, **options},
        }

    def read_options(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The split, `index` in place of the seed, and our own keys."""
        known = (*DEFAULTS, "index")
        return {key: config[key] for key in known if config.get(key) is not None}

    def observation(self, game: Game, score: Score) -> dict[str, Any]:
        del score
        return {**game.details(), "text": game.text()}

    def step_info(self, game: Game, unlocked: Sequence[str]) -> dict[str, Any]:
        del unlocked
        played = cast(MathGame, game)
        if not played.tries:
            return {}
        info: dict[str, Any] = {"correct": played.status == CORRECT, "status": played.status}
        return {**info, "expected_answer": played.problem.answer} if played.is_over else info

    def details(self, game: Game) -> dict[str, Any]:
        played = cast(MathGame, game)
        return {"status": played.status, "correct": played.status == CORRECT}

    def env_id(self, game: Game) -> str:
        problem = cast(MathGame, game).problem
        return f"math::{problem.split}::{problem.index}"


FACE = MathFace()
