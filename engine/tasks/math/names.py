"""What others may know of Math without loading its generator (reasoning-gym takes seconds).

Lives here: the options with their defaults, and which set of problems they name. Not here: making
problems (`problems.py`), judging answers (`judge.py`).
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from engine.errors import ConfigError

ACHIEVEMENTS: tuple[str, ...] = ()
NAME = "math"
ALIASES = ("math-single-step", "math_single_step")

SPLITS = ("train", "validation", "test")  # validation is another name of test, as in Synth's task
DIFFICULTIES = ("easy", "normal", "hard")
LOCAL = "local"  # the family whose problems stand in the operator's file
NOT_INSTALLED = "reasoning-gym, which makes the problems, is not installed: run `make up`"
PROBLEMS_VARIABLE = "SYNTHWEB_MATH_PROBLEMS"
DEFAULTS: dict[str, Any] = {
    "split": "train",
    "family": "chain_sum",
    "difficulty": "normal",
    "attempts": 1,
    "reward_positive": 1.0,
    "reward_negative_no_answer": -0.5,
    "reward_negative_no_tool": -1.0,
}


def world_version(options: Mapping[str, Any]) -> str:
    """Which problems the seeds stand for: rules, generator, family, difficulty and split.

    Two episodes of the same seed had the same problem only when this is the same too.
    Raises ConfigError when the local file is asked for and cannot be read.
    """
    chosen = {**DEFAULTS, **options}
    split = "train" if chosen["split"] == "train" else "test"
    if chosen["family"] == LOCAL:
        return f"math-1/local/{file_hash(problems_path())[:16]}/{split}"
    return f"math-1/rg{_generator_version()}/{chosen['family']}/{chosen['difficulty']}/{split}"


@functools.cache
def _generator_version() -> str:
    try:
        return metadata.version("reasoning-gym")
    except metadata.PackageNotFoundError as err:
        raise ConfigError(NOT_INSTALLED) from err


def world_of_config(config: Mapping[str, Any]) -> str:
    """`world_version` of a run's resolved config; "" when that cannot be known here."""
    options = {key: config[key] for key in ("split", "difficulty") if key in config}
    family = (config.get("math") or {}).get("family", DEFAULTS["family"])
    try:
        return world_version({**options, "family": family})
    except ConfigError:
        return ""


def problems_path() -> Path:
    """The operator's file of problems. Raises ConfigError when none is set."""
    path = os.environ.get(PROBLEMS_VARIABLE, "")
    if not path:
        raise ConfigError(
            "there is no file of local problems",
            hint=f"set {PROBLEMS_VARIABLE} to a JSONL file of problem and answer",
        )
    return Path(path)


def file_hash(path: Path) -> str:
    """SHA-256 of the file in hex. Raises ConfigError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as err:
        raise ConfigError(f"the problems of {PROBLEMS_VARIABLE} cannot be read: {err}") from err
