"""The `pipeline` config: stages that wait for each other, and the table that compares them.

Lives here: the sections and `plan_stages`, which puts in the files that stages name, orders the
stages and finds every mistake. Starting them is `apps/launch`.
"""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from engine.config.section import Section, Table, Tag

STAGE_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
STAGE_REFERENCE = re.compile(r"stage:(.*)", re.DOTALL)


class StageSection(Section):
    """One stage: a config, what it takes from earlier stages, and what is different here."""

    config: str | Table
    """A TOML file beside this one, or the config itself as a table."""
    model: str | None = Field(None, min_length=1, max_length=300)
    """Who plays or what is trained, instead of what the config says: stage:NAME or a model id."""
    dataset: str | None = Field(None, min_length=1, max_length=300)
    """What is trained on, instead of what the config says: stage:NAME or dataset:ID."""
    runs: list[str] | None = Field(None, min_length=1, max_length=100)
    """Whose games a dataset is made of: ["stage:NAME"]."""
    after: list[str] = Field([], max_length=100)
    """Stages that must have succeeded first, beyond those that are named as inputs."""
    set: Table = {}
    """Keys of the config that are different in this stage."""


class TableSection(Section):
    """Which evals the result compares, on the same worlds."""

    rows: list[str] = Field(min_length=1, max_length=10)
    """Eval stages, in the order in which they are shown."""
    baseline: str = ""
    """The row that the others are compared with; the first where none is given."""
    proof: str = ""
    """The row that has to be better than the baseline, with its whole 95 % interval; the last where
    none is given."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key in ("baseline", "proof"):
            value = getattr(self, key)
            if value and value not in self.rows:
                raise ValueError(f"{key} = {value!r} is no row of the table.")
        return self


class PipelineConfig(Section):
    """Runs that wait for each other: play, collect, train, play again."""

    type: Literal["pipeline"] = "pipeline"
    """pipeline."""
    name: str = Field("", max_length=200)
    """What lists call it; without one, its file."""
    stages: dict[str, StageSection] = Field(min_length=1, max_length=100)
    """The stages by name; each starts as soon as what it needs has succeeded."""
    table: TableSection | None = None
    """Which evals the result compares."""
    allow_leaked_seeds: bool = False
    """Whether a model may be scored on worlds that it was trained on; the score is marked then."""
    tags: dict[str, Tag] = {}
    """Words for finding it again."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.stages:
            if not STAGE_NAME.fullmatch(name):
                raise ValueError(f"stage {name[:60]!r}: a name is a-z, 0-9 and _, up to 40 long.")
        return self
