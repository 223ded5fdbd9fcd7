"""Makes the player of a run whose games a remote task app plays, from the run's inputs.

inputs.task_app: {"url", "inference_url", "key_env", "inference_key_env", "address", "limits":
{"max_concurrent", "rps", "timeout_s", "max_tries"}}; keys are read from the environment by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from engine.config import Play
from engine.config.play_sections import StepRewards
from engine.config.rl_plan import RlPlan
from engine.errors import ConfigError
from engine.llm.budget import RetryBudget
from engine.llm.replies import Prices
from engine.rollout.recording import PlayerOptions
from engine.rollout.remote import (
    Allowance,
    RemotePlayer,
    RemoteTask,
    TaskAppClient,
    TaskAppOptions,
)
from engine.tasks.base import DecisionRewards, Task

if TYPE_CHECKING:
    from engine.train.rl_remote import RemoteGames

LATE_S = 30.0  # what a task app may take beyond the seconds of an episode that it was told


def make_remote_player(
    inputs: Mapping[str, Any],
    play: Play,
    task: Task,
    options: PlayerOptions,
    rewards: Callable[[], DecisionRewards] | None,
    *,
    run: str,
    environment: Mapping[str, str],
    budget: RetryBudget,
    n_episodes: int,
) -> RemotePlayer:
    """The player that hands each of n_episodes to inputs.task_app.

    Raises ConfigError when an address or a key is missing.
    """
    spec, policy = inputs["task_app"], inputs.get("policy") or {}
    for name in ("url", "inference_url"):
        if not spec.get(name):
            raise ConfigError(f"The run's task app has no {name}.", hint="Launch the run again.")
    rewards_asked = _stepwise(play.step_rewards)
    asked = RemoteTask(
        run=run or "run",
        inference_url=spec["inference_url"],
        api_key=_key(spec, "inference_key_env", environment),
        policy_name=play.policy_name,
        env_config=rewards_asked,
        policy_config=rewards_asked,
        prices=_prices(policy.get("prices") or {}),
    )
    key, limits = _key(spec, "key_env", environment), play.limits
    client = TaskAppClient(spec["url"], key=key, options=_options(spec, play), budget=budget)
    allowance = Allowance(
        limits.tokens and limits.tokens * n_episodes,
        limits.cost_usd and limits.cost_usd * n_episodes,
    )
    return RemotePlayer(task, options, client, asked, rewards, allowance)


def _stepwise(rewards: StepRewards) -> dict[str, Any]:
    """What a task app is told of the rewards of a turn; nothing where there are none."""
    return {"step_rewards": rewards.model_dump()} if rewards.enabled else {}


def _prices(told: Mapping[str, Any]) -> Prices:
    return Prices(float(told.get("prompt_usd") or 0), float(told.get("completion_usd") or 0))


def make_remote_games(
    inputs: Mapping[str, Any], plan: RlPlan, *, run: str, environment: Mapping[str, str]
) -> RemoteGames:
    """What a training needs to have its games played by inputs.task_app.

    Each episode is tried once: a broken one is left out. Raises ConfigError as above.
    """
    from engine.train.rl_remote import RemoteGames

    spec = inputs["task_app"]
    key = _key(spec, "key_env", environment)
    limits = {name: value for name, value in (spec.get("limits") or {}).items() if value}
    default = TaskAppOptions()
    options = TaskAppOptions(
        timeout_s=float(limits.get("timeout_s", default.timeout_s)),
        max_concurrent=min(plan.concurrency, int(limits.get("max_concurrent", plan.concurrency))),
        max_tries=1,
        rps=float(limits.get("rps", 0.0)),
        address=str(spec.get("address") or ""),
    )
    rewards = _stepwise(plan.step_rewards)
    asked = RemoteTask(
        run, "", policy_name=plan.policy_name, env_config=rewards, policy_config=rewards
    )
    return RemoteGames(
        lambda: TaskAppClient(spec["url"], key=key, options=options),
        asked,
        plan.answer_port,
    )


def _key(spec: Mapping[str, Any], name: str, environment: Mapping[str, str]) -> str:
    variable = spec.get(name) or ""
    if variable and variable not in environment:
        raise ConfigError(
            f"A key for {spec['url']} is missing: {variable} is not set.",
            hint="Launch the run again, or set it when you run this by hand.",
        )
    return environment.get(variable, "")


def _options(spec: Mapping[str, Any], play: Play) -> TaskAppOptions:
    limits = {key: value for key, value in (spec.get("limits") or {}).items() if value}
    default = TaskAppOptions()
    timeout_s = float(limits.get("timeout_s", default.timeout_s))
    if play.limits.seconds is not None:
        timeout_s = min(timeout_s, play.limits.seconds + LATE_S)
    return TaskAppOptions(
        timeout_s=timeout_s,
        max_concurrent=min(play.concurrency, int(limits.get("max_concurrent", play.concurrency))),
        max_tries=int(limits.get("max_tries", default.max_tries)),
        rps=float(limits.get("rps", 0.0)),
        address=str(spec.get("address") or ""),
    )
