"""Two small kinds: `base` makes the starting checkpoint, `noop` is what tests run."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from engine.config.play_sections import Difficulty, MathSection, Observation, is_math
from engine.config.section import Section, Tag


class BaseConfig(Section):
    """Make the small model that everything starts from: it knows the form of the game, not the
    game."""

    type: Literal["base"] = "base"
    """base."""
    name: str = Field("", max_length=200)
    """What lists call the run."""
    model: str = Field("synthweb/crafter-small", pattern=r"^[\w.-]+/[\w.-]+$", max_length=100)
    """The id under which configs name it."""
    task: str = "crafter"
    """The task app whose form it learns."""
    observation: Observation = "compact"
    """What it reads; runs with this model show the same, unless they say another."""
    difficulty: Difficulty | None = None
    """How rough its worlds or hard its problems are; normal where none is given."""
    math: MathSection | None = None
    """Which problems it reads (task math)."""
    seed: int = Field(0, ge=0, lt=2**31)
    """New weights, games and order of training: the same seed gives the same model."""
    hidden_size: int = Field(128, ge=16, le=4096, multiple_of=8)
    """Width of the model."""
    n_layers: int = Field(3, ge=1, le=48)
    """Layers of the model."""
    n_heads: int = Field(4, ge=1, le=64)
    """Attention heads of a layer."""
    ffn_size: int = Field(384, ge=16, le=16_384)
    """Width of the feed-forward part of a layer."""
    n_episodes: int = Field(120, ge=1, le=10_000)
    """Games of random play that show it the form."""
    seeds_start: int = Field(900_000, ge=0, lt=2**31 - 10_000)
    """The first world of those games."""
    n_steps: int = Field(150, ge=1, le=100_000)
    """Optimiser steps of its training."""
    batch_size: int = Field(32, ge=1, le=4096)
    """Turns that go through the model at once."""
    learning_rate: float = Field(3e-3, gt=0, le=1)
    """How far one step goes at most."""
    tags: dict[str, Tag] = {}
    """Words for finding the run again."""

    def game_options(self) -> dict[str, Any]:
        """What the task is asked for; problems are never those of an eval."""
        difficulty = self.difficulty or "normal"
        if is_math(self.task):
            family = (self.math or MathSection()).family
            return {"family": family, "difficulty": difficulty, "split": "train"}
        return {"observation": self.observation, "difficulty": difficulty}


class NoopConfig(Section):
    """A run that only counts; only tests may launch it."""

    type: Literal["noop"] = "noop"
    """noop."""
    name: str = Field("", max_length=200)
    """What lists call the run."""
    n_steps: int = Field(10, ge=0, le=1_000_000)
    """Steps of each shard."""
    step_s: float = Field(0.01, ge=0, le=3600)
    """Time of each step in seconds."""
    fail_at: int | None = Field(None, ge=0)
    """Step at which it fails with an error."""
    crash_at: int | None = Field(None, ge=0)
    """Step at which the process dies."""
    shards: int = Field(1, ge=1, le=10_000)
    """In how many parts the run is cut."""
    tags: dict[str, Tag] = {}
    """Words for finding the run again."""
