"""The Math task app behind the protocol of `engine/tasks/base.py`: Synth's `math-single-step`.

An episode is one problem. Usually one call ends it (`attempts` = 1); with more, a wrong answer is
told and may be tried again. The solution is in no prompt and in no view before the end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from typing import Any

from engine.errors import ConfigError, TaskError
from engine.tasks.base import Action, Message, PastCall, Scripted, StepResult
from engine.tasks.math import calls, guide, names, text
from engine.tasks.math.judge import judge
from engine.tasks.math.problems import Problem, families, find_problem
from engine.tasks.math.views import pack_view

CORRECT, INCORRECT, BLANK = "correct", "incorrect", "blank_answer"
_MOST_SEED = 2**63 - 1
_MOST_ATTEMPTS = 1000


class MathGame:
    """One running episode (protocol: `engine.tasks.base.Game`)."""

    def __init__(self, seed: int, problem: Problem, options: Mapping[str, Any]) -> None:
        self.seed, self.problem, self.options = seed, problem, dict(options)
        self.world_version = names.world_version(options)
        self.unlocked: dict[str, int] = {}
        self.tries: list[tuple[str, str]] = []  # answer, status

    @property
    def n_steps(self) -> int:
        return len(self.tries)

    @property
    def status(self) -> str:
        """Of the last call: correct | incorrect | blank_answer | missing_tool_call | wrong_tool."""
        return self.tries[-1][1] if self.tries else ""

    @property
    def is_over(self) -> bool:
        return self.status == CORRECT or self.n_steps >= self.options["attempts"]

    def text(self) -> str:
        return self.problem.text

    def step(self, action: Action) -> StepResult:
        """Judge one answer. Raises TaskError when the episode is over."""
        if self.is_over:
            raise TaskError(f"the episode is over: {self.ending()}", retryable=False)
        answer = str(action)
        status = self._judge(answer)
        self.tries.append(("" if status in calls.FAILURES.values() else answer, status))
        return StepResult(self._reward(status), self.is_over, ())

    def _judge(self, answer: str) -> str:
        if answer in calls.FAILURES:
            return calls.FAILURES[answer]
        if not answer.strip():
            return BLANK
        return CORRECT if judge(answer, self.problem.answer) else INCORRECT

    def _reward(self, status: str) -> float:
        if status in calls.FAILURES.values():
            return float(self.options["reward_negative_no_tool"])
        rewards = {CORRECT: "reward_positive", BLANK: "reward_negative_no_answer"}
        return float(self.options[rewards[status]]) if status in rewards else 0.0

    def outcome(self) -> float:
        return float(self.status == CORRECT)

    def view(self) -> bytes:
        return pack_view(self.problem, self.tries, over=self.is_over)

    def state_hash(self) -> str:
        state = [self.world_version, *astuple(self.problem), self.tries]
        plain = json.dumps(state, separators=(",", ":"))
        return hashlib.sha256(plain.encode()).hexdigest()[:16]

    def ending(self) -> str:
        return self.status if self.is_over else ""

    def details(self) -> dict[str, Any]:
        facts = {
            "problem": self.problem.text,
            "split": self.problem.split,
            "index": self.problem.index,
        }
        return {**facts, "status": self.status} if self.tries else facts

    def snapshot(self) -> bytes:
        return json.dumps([self.seed, astuple(self.problem), self.options, self.tries]).encode()


class MathRewards:
    """A decision is worth what its answer is: there are no achievements to reward beside it."""

    def decision(
        self,
        new: Sequence[str],
        env_reward: float = 0.0,
        achieved: Sequence[str] | None = None,
        actions: Sequence[str] = (),
    ) -> float:
        del new, achieved, actions
        return env_reward


class MathTask:
    """Protocol: `engine.tasks.base.Task`."""

    name = names.NAME
    aliases: tuple[str, ...] = names.ALIASES
    world_version = "math-1"
    achievements = names.ACHIEVEMENTS
    actions: tuple[str, ...] = ()
    tools = calls.TOOLS
    tool_choice = calls.TOOL_CHOICE
    scripted: Mapping[str, Scripted] = {"random": guide.random_call, "guide": guide.guide_call}

    def __init__(self) -> None:
        self.find: Callable[[int, Mapping[str, Any]], Problem] = find_problem
        """What makes the problems; a process that should stay small sets another one."""

    def new_game(self, seed: int, options: Mapping[str, Any]) -> MathGame:
        """The problem of a seed. options: those of `names.DEFAULTS`; `index` in place of the seed.

        Raises ConfigError for any other key or value, TaskError when no problem can be made.
        """
        chosen = check_options({key: options[key] for key in options if key != "index"})
        place = options.get("index")
        place = seed if place is None else place
        if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place <= _MOST_SEED:
            raise ConfigError(f"seed {place!r} is no integer from 0 to 2^63-1")
        return MathGame(seed, self.find(place, chosen), chosen)

    def restore(self, snapshot: bytes) -> MathGame:
        try:
            seed, problem, options, tries = json.loads(snapshot)
            game = MathGame(seed, Problem(*problem), check_options(options))
            game.tries = [(str(answer), str(status)) for answer, status in tries]
        except (ValueError, TypeError) as err:
            raise TaskError("the snapshot is of no math episode", retryable=False) from err
        return game

    def messages(self, game: MathGame, past: Sequence[PastCall]) -> list[Message]:
        left = game.options["attempts"] - game.n_steps
        return text.build_messages(game.text(), past, left)

    def read_call(self, name: str, arguments: Mapping[str, Any]) -> list[Action]:
        return list(calls.read_call(name, arguments))

    def failed_call(self, code: str) -> list[Action]:
        return list(calls.failed_call(code))

    def step_rewards(self, options: Mapping[str, Any]) -> MathRewards:
        del options
        return MathRewards()


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with their defaults. Raises ConfigError naming what is allowed."""
    unknown = sorted(set(options) - set(names.DEFAULTS))
    if unknown:
        raise ConfigError(f"math has no option {unknown[0]!r}; known: {', '.join(names.DEFAULTS)}")
    chosen = {**names.DEFAULTS, **options}
    known = {
        "split": names.SPLITS,
        "difficulty": names.DIFFICULTIES,
        "family": tuple(families()),
    }
    for key, values in known.items():
        if chosen[key] not in values:
            raise ConfigError(f"math: {key} {chosen[key]!r} is unknown; known: {', '.join(values)}")
    attempts = chosen["attempts"]
    if type(attempts) is not int or not 1 <= attempts <= _MOST_ATTEMPTS:
        raise ConfigError(f"math: attempts must be 1 to {_MOST_ATTEMPTS}, found {attempts!r}")
    for key in names.DEFAULTS:
        if key.startswith("reward_") and type(chosen[key]) not in (int, float):
            raise ConfigError(f"math: {key} must be a number, found {chosen[key]!r}")
    return chosen
