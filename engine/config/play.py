"""Configs that play games: `eval` (score a policy on fixed seeds) and `rollout` (collect games)."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from engine.config.flat import Play, contradictions, flatten, misfits
from engine.config.play_sections import (
    Difficulty,
    Limits,
    MathSection,
    Observation,
    PolicySection,
    RolloutSection,
    StepRewards,
)
from engine.config.section import Section, Seeds, Tag

MAX_EPISODES = 1_000_000


class PlayConfig(Section):
    """What eval and rollout have in common."""

    name: str = Field("", max_length=200)
    """What lists call the run; without one, its model or its file."""
    task: str | None = None
    """The task app that is played: crafter or math; crafter where nothing says math."""
    provider: str = ""
    """Who answers: `builtin` (model random or guide) or a provider of Settings; empty for a
    checkpoint of ours."""
    model: str = Field(min_length=1, max_length=300)
    """Who plays: random, guide, a provider's model, or a checkpoint such as ft:BASE:job_… or
    synthweb/crafter-small."""
    policy_name: str | None = None
    """Which prompt the player uses; it never chooses the model."""
    inference_url: str | None = None
    """A model API by address (no /v1). It must be that of a provider in Settings, which has the
    key."""
    task_app_url: str | None = None
    """A remote task app; without one, or with a placeholder, the game is played on this machine."""
    seeds: Seeds | None = None
    """Which worlds: a list, {start = 1000, count = 50}, or a text such as "1000..1049"."""
    num_episodes: int | None = Field(None, ge=1, le=100_000)
    """Instead of seeds: this many, from seed_start on."""
    seed_start: int | None = Field(None, ge=0)
    """First seed with num_episodes; 1 where none is given."""
    repeats: int = Field(1, ge=1, le=1000)
    """Games on each seed."""
    max_turns: int | None = Field(None, ge=1, le=1000)
    """Model calls in an episode before it is cut off and scored as it stands; where none is given,
    10, and 1 for math (a wrong answer may be tried again as long as there are more)."""
    max_steps: int | None = Field(None, ge=1, le=100_000)
    """Game steps in an episode before it is cut off; 10000, the game's own length, where none is
    given."""
    observation: Observation = "map"
    """What the model reads: map (the whole 9×7 view), compact (short facts, for small models),
    synth (Synth's format); where none is given, what it was made to read, else map."""
    difficulty: Difficulty | None = None
    """How rough the world is; normal where none is given."""
    split: Literal["train", "validation", "test"] | None = None
    """Which part of the problems (math); validation is the same as test. Without one, an eval plays
    test and a rollout train."""
    math: MathSection | None = None
    """Which problems, and what answers are worth; the task is math where this or split is given."""
    concurrency: int = Field(16, ge=1, le=1024)
    """Episodes of a shard that are played at the same time."""
    temperature: float | None = Field(None, ge=0, le=5)
    """Randomness of the model's choices; 1 where none is given (small models repeat themselves at
    0)."""
    top_p: float | None = Field(None, gt=0, le=1)
    """Sample from the most probable tokens that together reach this probability; 1 where none is
    given."""
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    """Most tokens of one answer; 256 where none is given."""
    thinking_mode: str | None = None
    """Passed on to the model API: think or no_think."""
    thinking_budget: int | None = Field(None, ge=0)
    """Passed on to the model API: most tokens spent on thinking."""
    use_tools: bool | None = None
    """Ask for tool calls; false reads the actions out of the text."""
    step_rewards: StepRewards | None = None
    """Rewards for single decisions."""
    limits: Limits = Limits()
    """Where an episode is cut off, beyond turns and steps."""
    shards: int = Field(1, ge=1, le=1000)
    """In how many parts the run is cut, so that several workers can share it."""
    policy: PolicySection = PolicySection()
    """How the model is asked, in Synth's words."""
    rollout: RolloutSection = RolloutSection()
    """The rollout, in Synth's words."""
    tags: dict[str, Tag] = {}
    """Words for finding the run again."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = contradictions(self) + misfits(self)
        if self.seeds is None and self.num_episodes is None:
            problems.append('say on which worlds: seeds = "1000..1049", or num_episodes = 50.')
        if self.seeds is not None and (self.num_episodes or self.seed_start is not None):
            problems.append("give either seeds or num_episodes with seed_start, not both.")
        if len(self.seeds or ()) * self.repeats > MAX_EPISODES:
            problems.append(f"more than {MAX_EPISODES:,} games in one run.")
        if problems:
            raise ValueError(" ".join(problems))
        return self

    def episode_seeds(self) -> tuple[int, ...]:
        """The worlds, in the order in which they are played."""
        if self.seeds is not None:
            return self.seeds
        start = 1 if self.seed_start is None else self.seed_start
        return tuple(range(start, start + (self.num_episodes or 0)))

    def play(self) -> Play:
        """The flat view: one answer to each question."""
        return flatten(self, self.episode_seeds())


class EvalConfig(PlayConfig):
    """Score a policy on fixed worlds that no training has seen."""

    type: Literal["eval", "rl"] = "eval"
    """eval. (Synth's math evals say rl; with a model and num_episodes they are evals, too.)"""


class RolloutConfig(PlayConfig):
    """Collect games, to look at or to make a dataset of."""

    type: Literal["rollout"] = "rollout"
    """rollout."""


class ForkConfig(PlayConfig):
    """What would another policy have done? Go on from a step of a stored game, several times."""

    type: Literal["fork"] = "fork"
    """fork."""
    trace: int = Field(ge=1, lt=2**63)
    """The game that is forked, by its number; it is only read."""
    step: int = Field(0, ge=0, le=1_000_000)
    """After how many of its steps the branches begin; 0 is the fresh world."""
    model: str = Field("", max_length=300)
    """Who goes on: random, guide, a provider's model, or a checkpoint; without one, who played."""
    seeds: Seeds | None = ()
    """The world of the game; filled in at launch."""
    repeats: int = Field(8, ge=1, le=1000)
    """Branches. Branch i draws its samples from the same stream for every model."""
