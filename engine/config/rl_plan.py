"""The flat view of an `rl` config: one answer to each question, Synth's keys included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.config.play_sections import StepRewards, is_math
from engine.config.rl_generation import Generation, make_generation
from engine.config.rl_loss import RlLoss
from engine.config.sft import Lora, Method

if TYPE_CHECKING:
    from engine.config.rl import RlConfig

CLIPS = {"grpo": (0.2, 0.28), "gspo": (3e-4, 4e-4)}  # DAPO's and GSPO's (arXiv:2507.18071, 5.1)


@dataclass(frozen=True, slots=True)
class RlPlan:
    """What is played and how it is learned from.

    episodes: of one iteration, in groups of `group_size` that share a world. micro_batch: turns in
    one pass, `accumulate` passes make an optimiser step.
    """

    task: str
    options: dict[str, Any]
    task_app_url: str
    answer_port: int  # 0: any
    policy_name: str
    model: str
    method: Method
    lora: Lora
    variety: str
    loss: RlLoss
    clip: tuple[float, float]
    temperature: float
    top_p: float
    max_tokens: int
    max_turns: int
    max_steps: int
    episodes: int
    group_size: int
    concurrency: int
    iterations: int
    seed_start: int
    seed: int
    micro_batch: int
    accumulate: int
    learning_rate: float
    warmup_iterations: int
    final_rate: float
    step_rewards: StepRewards
    absolute_events: bool
    stored_per_group: int
    log_interval: int
    max_seconds: float | None
    save_seconds: float
    lockstep: bool
    evaluation_seeds: tuple[int, ...]
    evaluation_options: dict[str, Any]
    evaluate_every: int
    generation: Generation


def make_plan(config: RlConfig) -> RlPlan:
    """The flat view of a config; what is given twice is taken from the more special place."""
    return RlPlan(
        **_what_is_played(config),
        **_how_it_is_sampled(config),
        **_how_it_is_learned(config),
        max_seconds=config.training.max_seconds,
        save_seconds=config.training.save_seconds,
        log_interval=config.training.log_interval,
        lockstep=config.training.lockstep,
        generation=make_generation(config),
    )


def fill_rl(data: dict[str, Any], config: RlConfig) -> dict[str, Any]:
    """The frozen form: what is played and how much, said outright, whatever it was derived from.

    Its plan is the plan of `config`, though every key is given now.
    """
    plan, rewards = config.plan(), config.plan().step_rewards
    rollout = {
        **data["rollout"],
        "env_name": plan.task,
        "max_turns": plan.max_turns,
        "episodes_per_batch": plan.episodes,
        "batches_per_step": 1,
    }
    training = {
        **data["training"],
        "step_rewards_enabled": rewards.enabled,
        "step_rewards_mode": rewards.mode,
        "step_rewards_strategy": rewards.strategy,
        "step_rewards_beta": rewards.step_beta,
        "step_rewards_indicator_lambda": rewards.indicator_lambda,
    }
    problems = {**data["data"], "episodes_per_iteration": plan.episodes}
    return {**data, "rollout": rollout, "training": training, "data": problems}


def _what_is_played(config: RlConfig) -> dict[str, Any]:
    """The games of training and evaluation, how many, and what a turn of them is worth."""
    rollout, group_size = config.rollout, config.training.group_size
    math, steps = _plays_math(config), rollout.env_config.env_params.max_steps_per_episode
    data = config.data
    return {
        "task": "math" if math else rollout.env_name,
        "options": _math_options(config, data.split) if math else _options(config),
        "task_app_url": config.services.task_url or "",
        "answer_port": config.services.answer_port or 0,
        "max_turns": _turns(config, math=math),
        "max_steps": 10_000 if steps is None else steps,
        "episodes": _episodes(config, math=math),
        "group_size": group_size,
        "concurrency": rollout.max_concurrent_rollouts,
        "seed_start": data.seed_start if math else rollout.seed_start,
        "step_rewards": _step_rewards(config),
        "absolute_events": config.training.event_rewards_kind == "absolute",
        "stored_per_group": min(rollout.stored_per_group, group_size),
        "evaluation_seeds": _evaluation_seeds(config, math=math),
        "evaluation_options": (
            _math_options(config, data.evaluation_split) if math else _options(config)
        ),
        "evaluate_every": config.evaluation.every_n_iters,
    }


def _how_it_is_sampled(config: RlConfig) -> dict[str, Any]:
    asked = [config.rollout.policy_config, config.policy]
    n_tokens = [v for p in asked for v in (p.max_tokens, p.max_completion_tokens)]
    return {
        "policy_name": config.rollout.policy_name,
        "temperature": _first([p.temperature for p in asked], 1.0),
        "top_p": _first([p.top_p for p in asked], 1.0),
        "max_tokens": _first(n_tokens, 256),
    }


def _how_it_is_learned(config: RlConfig) -> dict[str, Any]:
    """The model, its loss and the optimiser's steps."""
    training, loss, variety = config.training, config.loss, config.algorithm.variety
    low, high = CLIPS[variety]
    accumulate = training.gradient_accumulation_steps
    return {
        "model": config.model.source or config.model.base or "",
        "method": _method(config),
        "lora": config.lora or Lora(),
        "variety": variety,
        "loss": loss,
        "clip": (loss.clip_low or low, loss.clip_high or high),
        "iterations": training.num_epochs * training.iterations_per_epoch,
        "seed": training.seed,
        "micro_batch": training.batch_size,
        "accumulate": min(accumulate, training.max_accumulated_minibatch or accumulate),
        "learning_rate": training.learning_rate,
        "warmup_iterations": training.warmup_iterations,
        "final_rate": training.final_rate,
    }


def _plays_math(config: RlConfig) -> bool:
    """By its task, else because it says which problems."""
    if "env_name" in config.rollout.model_fields_set:
        return is_math(config.rollout.env_name)
    return "data" in config.model_fields_set


def _options(config: RlConfig) -> dict[str, Any]:
    rollout = config.rollout
    difficulty = rollout.env_config.difficulty or "normal"
    return {"difficulty": difficulty, "observation": rollout.observation}


def _math_options(config: RlConfig, split: str) -> dict[str, Any]:
    training = config.training
    return {
        "split": split,
        "family": config.data.family,
        "difficulty": config.rollout.env_config.difficulty or "normal",
        "attempts": _turns(config, math=True),
        "reward_positive": training.reward_positive,
        "reward_negative_no_answer": training.reward_negative_no_answer,
        "reward_negative_no_tool": training.reward_negative_no_tool,
    }


def _turns(config: RlConfig, *, math: bool) -> int:
    """The rollout's own figure, else the training's, else the task's."""
    if "max_turns" in config.rollout.model_fields_set:
        return config.rollout.max_turns
    return config.training.max_turns or (1 if math else config.rollout.max_turns)


def _episodes(config: RlConfig, *, math: bool) -> int:
    """Episodes of one iteration."""
    rollout = config.rollout
    if math and config.data.episodes_per_iteration:
        return config.data.episodes_per_iteration
    if "episodes_per_batch" not in rollout.model_fields_set:
        group = config.training.group_size
        return max(1, rollout.episodes_per_batch // group) * group * rollout.batches_per_step
    return rollout.episodes_per_batch * rollout.batches_per_step


def _evaluation_seeds(config: RlConfig, *, math: bool) -> tuple[int, ...]:
    seeds = tuple(config.evaluation.seeds)
    if math and not seeds:
        return tuple(range(config.data.evaluation_episodes or 0))
    return seeds[: config.evaluation.instances]


def _step_rewards(config: RlConfig) -> StepRewards:
    """A table of the policy, else of the environment, else the keys of [training]."""
    rollout, training = config.rollout, config.training
    tables = [rollout.policy_config.step_rewards, rollout.env_config.step_rewards]
    table = next((t for t in tables if t is not None), None)
    given = {
        name: getattr(training, f"step_rewards_{key}")
        for name, key in (
            ("enabled", "enabled"),
            ("mode", "mode"),
            ("strategy", "strategy"),
            ("step_beta", "beta"),
            ("indicator_lambda", "indicator_lambda"),
        )
        if f"step_rewards_{key}" in training.model_fields_set
    }
    return (table or StepRewards()).model_copy(update=given)


def _method(config: RlConfig) -> Method:
    if config.model.trainer_mode:
        return config.model.trainer_mode
    return "lora" if config.lora is not None else "full"


def _first(values: list[Any], default: Any) -> Any:
    return next((value for value in values if value is not None), default)
