"""The `dataset` section: which turns of which games become training data."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from engine.config.section import Section

Split = Literal["all", "train", "validation"]


class DatasetFilter(Section):
    """Which games, and which of their turns. Everything that is given must hold."""

    runs: list[str] = Field([], max_length=1000)
    """Games of these runs: run numbers or stage:NAME; without any, all games of the project."""
    episodes: list[int] = Field([], max_length=500)
    """Only these games: trace numbers, as ticked one by one in the list of traces."""
    task: str = "crafter"
    """Games of this task app."""
    model: str = Field("", max_length=300)
    """Games of this model only."""
    min_return: float | None = None
    """Least sum of the game's rewards."""
    max_return: float | None = None
    """Greatest sum of the game's rewards."""
    min_unique: int | None = Field(None, ge=0)
    """Fewest different achievements."""
    max_unique: int | None = Field(None, ge=0)
    """Most different achievements."""
    require: list[str] = Field([], max_length=100)
    """Only games in which all of these were achieved."""
    exclude: list[str] = Field([], max_length=100)
    """No game in which one of these was achieved."""
    labels: list[str] = Field([], max_length=100)
    """Only games that carry all of these labels."""
    max_per_seed: int | None = Field(None, ge=1)
    """Most games of one world, the best first."""
    turns_before_unlock: int | None = Field(None, ge=1, le=1000)
    """Of each game only the turns that led to an achievement: this many, up to the one that
    unlocked it."""
    drop_failed_calls: bool = True
    """Leave out turns whose tool call failed."""
    dedupe: bool = False
    """Take each conversation once, however often it was held."""
    max_per_achievement: int | None = Field(None, ge=1)
    """At most this many turns that led to the same achievement, so that none outweighs the others;
    turns that led to none count as one more kind."""
    split: Split = "all"
    """Only worlds of this side: all, train or validation. A world's seed decides, so all of its
    games are on one side, in every dataset."""
    validation_share: float = Field(0.1, gt=0, lt=1)
    """How much of all worlds is validation, where split is used."""
    limit: int | None = Field(None, ge=1)
    """Most games, the best first."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        pairs = (
            ("return", self.min_return, self.max_return),
            ("unique", self.min_unique, self.max_unique),
        )
        for name, low, high in pairs:
            if low is not None and high is not None and low > high:
                raise ValueError(f"min_{name} is greater than max_{name}: no game can match.")
        both = sorted(set(self.require) & set(self.exclude))
        if both:
            raise ValueError(f"{both[0]} is both required and excluded: no game can match.")
        return self


class DatasetConfig(DatasetFilter):
    """Make a dataset of games; a stage of a pipeline."""

    type: Literal["dataset"] = "dataset"
    """dataset."""
    name: str = Field("", max_length=200)
    """What lists call it; the same name gets a new version. Without one, the stage's."""
