"""The flat view of a config that plays games: one answer to each question.

Synth's configs may give one value in three places (top level, `[policy]`, `[rollout]`). All are
accepted; `contradictions` finds two different answers, `flatten` gives what is played.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.config.mistakes import show
from engine.config.play_sections import Limits, MathSection, StepRewards, is_math
from engine.config.section import Section

# flat name → (where else it may stand, what it is where nobody says)
PLACES: dict[str, tuple[tuple[str, ...], Any]] = {
    "task": (("rollout.env_name",), "crafter"),
    "policy_name": (("rollout.policy_name",), "crafter-react"),
    "inference_url": (("policy.inference_url", "rollout.policy_config.inference_url"), ""),
    "task_app_url": ((), ""),
    "max_turns": (
        (
            "rollout.max_turns",
            "policy.max_llm_calls",
            "rollout.policy_config.max_llm_calls",
        ),
        10,
    ),
    "max_steps": (("rollout.env_config.env_params.max_steps_per_episode",), 10_000),
    "difficulty": (("rollout.difficulty", "rollout.env_config.difficulty"), "normal"),
    "temperature": (("policy.temperature", "rollout.policy_config.temperature"), 1.0),
    "top_p": (("policy.top_p", "rollout.policy_config.top_p"), 1.0),
    "max_tokens": (
        (
            "policy.max_tokens",
            "policy.max_completion_tokens",
            "rollout.policy_config.max_tokens",
            "rollout.policy_config.max_completion_tokens",
        ),
        256,
    ),
    "thinking_mode": (("policy.thinking_mode", "rollout.policy_config.thinking_mode"), None),
    "thinking_budget": (
        ("policy.thinking_budget", "rollout.policy_config.thinking_budget"),
        None,
    ),
    "use_tools": (("policy.use_tools", "rollout.policy_config.use_tools"), True),
    "step_rewards": (
        (
            "policy.step_rewards",
            "rollout.policy_config.step_rewards",
            "rollout.env_config.step_rewards",
        ),
        StepRewards(),
    ),
    "model": (("policy.model", "rollout.policy_config.model"), ""),
}
# What differs where Math is played: one problem is one call, and there is one prompt.
MATH_DEFAULTS: dict[str, Any] = {"task": "math", "max_turns": 1, "policy_name": "math"}
# By Synth's contract the policy's step rewards come before the environment's: no contradiction.
RANKED = frozenset({"step_rewards"})


@dataclass(frozen=True, slots=True)
class Play:
    """What is played: the flat view of an eval or rollout config, one answer to each question.

    `options` go to `Task.new_game`; `extra` goes to `Sampling.extra`.
    """

    task: str
    options: dict[str, Any]
    provider: str
    model: str
    policy_name: str
    inference_url: str
    task_app_url: str
    seeds: tuple[int, ...]
    repeats: int
    max_turns: int
    max_steps: int
    concurrency: int
    temperature: float
    top_p: float
    max_tokens: int
    use_tools: bool
    step_rewards: StepRewards
    limits: Limits
    shards: int
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def episodes(self) -> list[tuple[int, int]]:
        """(seed, repeat) of every game, repeats of one seed together."""
        return [(seed, repeat) for seed in self.seeds for repeat in range(self.repeats)]


def contradictions(config: Section) -> list[str]:
    """Sentences about values that are given in two places and differ."""
    found = []
    for name, (places, _default) in PLACES.items():
        given = _given(config, name, places)
        if name not in RANKED and len({repr(value) for _, value in given}) > 1:
            words = ", ".join(f"{place} = {show(value)}" for place, value in given)
            found.append(f"{name} is given more than once with different values: {words}.")
    return found


def flatten(config: Any, seeds: tuple[int, ...]) -> Play:
    """The flat view of a PlayConfig that has passed its validation."""
    values: dict[str, Any] = {}
    for name, (places, default) in PLACES.items():
        given = _given(config, name, places)
        values[name] = given[0][1] if given else default
    thinking = {key: values.pop(key) for key in ("thinking_mode", "thinking_budget")}
    difficulty = values.pop("difficulty")
    options = {"difficulty": difficulty, "observation": config.observation}
    if plays_math(config):
        for name, default in MATH_DEFAULTS.items():
            if not _given(config, name, PLACES[name][0]):
                values[name] = default
        options = _math_options(config, difficulty, values["max_turns"])
    return Play(
        **values,
        options=options,
        provider=config.provider,
        seeds=seeds,
        repeats=config.repeats,
        concurrency=config.concurrency,
        limits=config.limits,
        shards=config.shards,
        extra={key: value for key, value in thinking.items() if value is not None},
    )


def plays_math(config: Any) -> bool:
    """Whether a config plays Math: by its task, else because it says which problems."""
    given = _given(config, "task", PLACES["task"][0])
    if given:
        return is_math(str(given[0][1]))
    return config.split is not None or config.math is not None


def misfits(config: Any) -> list[str]:
    """Sentences about keys of one task in a config that plays the other."""
    found = []
    if plays_math(config):
        if any(value == "peaceful" for _, value in _given(config, *_difficulty_places())):
            found.append("math has no difficulty peaceful: take easy, normal or hard.")
    else:
        found = [
            f"{key} belongs to math, but the task is another."
            for key in ("split", "math")
            if getattr(config, key) is not None
        ]
    return found


def _difficulty_places() -> tuple[str, tuple[str, ...]]:
    return "difficulty", PLACES["difficulty"][0]


def _math_options(config: Any, difficulty: str, max_turns: int) -> dict[str, Any]:
    """What the Math task is asked for: problems never trained on, unless they are collected."""
    split = config.split or ("train" if config.type == "rollout" else "test")
    wanted = (config.math or MathSection()).model_dump()
    return {"split": split, "difficulty": difficulty, "attempts": max_turns, **wanted}


def _given(config: Section, name: str, places: tuple[str, ...]) -> list[tuple[str, Any]]:
    found = []
    for place in (name, *places):
        value: Any = config
        for part in place.split("."):
            value = getattr(value, part)
        if value is not None:
            found.append((place, value))
    return found
