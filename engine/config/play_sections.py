"""The tables that configs of games share: step rewards, limits, and Synth's [policy] and [rollout].
The tables that configs of games share: step rewards, limits, and Synth's [policy] and [rollout]."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engine.config.section import Section, not_used

Difficulty = Literal["easy", "normal", "hard", "peaceful"]
Observation = Literal["map", "compact", "synth"]
Family = Literal[
    "basic_arithmetic", "chain_sum", "gcd", "gsm_symbolic", "lcm", "leg_counting", "local",
    "products", "simple_equations",
]  # fmt: skip
MATH_NAMES = frozenset(("math", "math-single-step"))


def is_math(task: str) -> bool:
    """Whether a config's task is the Math task app, under whichever of its names."""
    return task.strip().lower().replace("_", "-") in MATH_NAMES


class StepRewards(Section):
    """Rewards for single decisions, on top of the game's own."""

    enabled: bool = False
    """Whether decisions are rewarded at all."""
    mode: Literal["decision_stepwise", "off", "env_sparse"] = "decision_stepwise"
    """decision_stepwise rewards each decision, env_sparse only what the game itself rewards."""
    strategy: Literal[
        "consistent", "simple", "per_achievement", "complex", "achievement_weighted"
    ] = "consistent"
    """consistent (= simple): indicator_lambda for any new achievement; per_achievement (= complex,
    achievement_weighted): the sum of the weights of the new ones."""
    indicator_lambda: float = 1.0
    """What a decision with a new achievement is worth."""
    step_beta: float = 0.0
    """What each decision is worth by itself, in a training."""
    weights: dict[str, float] = {}
    """Weight of each achievement (per_achievement); 1 where none is given."""
    k_limits: dict[str, int] = {}
    """How often an achievement counts in an episode (per_achievement); 1 where none is given, 0 or
    less: always."""


class MathSection(Section):
    """What the task math plays, and what its answers are worth."""

    family: Family = "chain_sum"
    """Which problems: a generator of reasoning-gym, or local (the operator's file of problems)."""
    reward_positive: float = 1.0
    """What a correct answer is worth; a wrong one is worth 0."""
    reward_negative_no_answer: float = -0.5
    """What an empty answer is worth."""
    reward_negative_no_tool: float = -1.0
    """What a reply without a call of math_submit is worth."""


class Limits(Section):
    """Where an episode is cut off, beyond turns and steps; without a value there is no limit."""

    seconds: float | None = Field(None, gt=0)
    """Longest time of one episode in seconds."""
    tokens: int | None = Field(None, ge=1)
    """Most prompt and completion tokens of one episode together."""
    cost_usd: float | None = Field(None, gt=0)
    """Most money that the model calls of one episode may cost, in US dollars."""
    retries: int = Field(200, ge=0, le=100_000)
    """Retried model calls of the whole run; when they are used up, failing episodes end at once."""


class EnvParams(Section):
    """Parameters of the environment itself."""

    max_steps_per_episode: int | None = Field(None, ge=1, le=100_000)
    """The same as max_steps."""


class EnvConfig(Section):
    """The environment's part of a Synth rollout."""

    difficulty: Difficulty | None = None
    """The same as difficulty."""
    step_rewards: StepRewards | None = None
    """The same as [step_rewards]."""
    env_params: EnvParams = EnvParams()
    """Parameters of the environment itself."""


class PolicySection(Section):
    """How the model is asked; Synth's `[policy]` and `[rollout.policy_config]`."""

    model: str | None = None
    """The same as model."""
    inference_url: str | None = None
    """The same as inference_url."""
    temperature: float | None = Field(None, ge=0, le=5)
    """The same as temperature."""
    top_p: float | None = Field(None, gt=0, le=1)
    """The same as top_p."""
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    """The same as max_tokens."""
    max_completion_tokens: int | None = Field(None, ge=1, le=1_000_000)
    """Another name of max_tokens."""
    max_llm_calls: int | None = Field(None, ge=1, le=1000)
    """Another name of max_turns."""
    thinking_mode: str | None = None
    """The same as thinking_mode."""
    thinking_budget: int | None = Field(None, ge=0)
    """The same as thinking_budget."""
    use_tools: bool | None = None
    """The same as use_tools."""
    step_rewards: StepRewards | None = None
    """The same as [step_rewards]."""
    headers: dict[str, str] = not_used({}, "a provider sends its own headers")
    """Extra HTTP headers. A secret here is refused: name a provider, which holds the key."""


class RolloutSection(Section):
    """Synth's `[rollout]` of an eval."""

    env_name: str | None = None
    """The same as task (crafter, CrafterClassic, math)."""
    policy_name: str | None = None
    """The same as policy_name."""
    max_turns: int | None = Field(None, ge=1, le=1000)
    """The same as max_turns."""
    difficulty: Difficulty | None = None
    """The same as difficulty."""
    env_config: EnvConfig = EnvConfig()
    """The environment's part."""
    policy_config: PolicySection = PolicySection()
    """The policy's part."""
