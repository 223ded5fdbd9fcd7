"""The base of all sections of a config, and the few field types that several of them share.

The sentence under a field is its documentation everywhere: form help, docs/config.md, JSON Schema.
`gpu_only` and `not_used` mark keys that are accepted but may change nothing; `resolving.py`
reports them, so that no key is ignored in silence.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic.json_schema import WithJsonSchema

MAX_SEEDS = 100_000
SEED_LIMIT = 2**31  # exclusive; what a NumPy generator takes everywhere
_RANGE = re.compile(r"\s*(\d{1,10})(?:\s*\.\.\s*(\d{1,10}))?\s*")


class Section(BaseModel):
    """A table of the config. Unknown keys are errors, values never change after reading."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, extra="forbid", frozen=True, allow_inf_nan=False,
        protected_namespaces=(), str_max_length=20_000,
    )  # fmt: skip


def gpu_only(default: Any, **limits: Any) -> Any:
    """A field that changes nothing on a machine without a GPU."""
    return Field(default, json_schema_extra={"effect": "gpu"}, **limits)


def not_used(default: Any, reason: str, **limits: Any) -> Any:
    """A field of Synth's configs that is kept as it is and changes nothing; `reason` says why."""
    return Field(default, json_schema_extra={"effect": reason}, **limits)


def read_seeds(value: Any) -> tuple[int, ...]:
    """Seeds as people write them: `[1, 2]`, `{start = 1000, count = 50}`, `"1000..1049, 2000"`.

    Raises ValueError: empty, twice the same, negative, too large or more than 100,000.
    """
    if isinstance(value, dict):
        ranges = [_read_table(value)]
    elif isinstance(value, str):
        ranges = [_read_part(part) for part in value.split(",")]
    elif isinstance(value, (list, tuple)):
        if not all(isinstance(seed, int) and not isinstance(seed, bool) for seed in value):
            raise ValueError("seeds must be whole numbers.")
        ranges = [range(seed, seed + 1) for seed in value]
    else:
        raise ValueError(
            'must be a list of seeds, {start = 1000, count = 50}, or a text such as "1000..1049".'
        )
    if sum(r.stop - r.start for r in ranges) > MAX_SEEDS:
        raise ValueError(f"names more than the {MAX_SEEDS:,} seeds allowed.")
    if any(r.start < 0 or r.stop > SEED_LIMIT for r in ranges):
        raise ValueError(f"seeds must lie between 0 and {SEED_LIMIT - 1}.")
    seeds = tuple(seed for r in ranges for seed in r)
    if not seeds:
        raise ValueError("names no seed.")
    if len(set(seeds)) != len(seeds):
        raise ValueError("names a seed twice; for several games on one seed set repeats.")
    return seeds


def write_seeds(seeds: tuple[int, ...]) -> str:
    """The shortest text that `read_seeds` reads back: `(1, 2, 3, 7)` → `"1..3, 7"`."""
    parts: list[str] = []
    start = 0
    for index in range(1, len(seeds) + 1):
        if index < len(seeds) and seeds[index] == seeds[index - 1] + 1:
            continue
        first, last = seeds[start], seeds[index - 1]
        parts.append(str(first) if first == last else f"{first}..{last}")
        start = index
    return ", ".join(parts)


Seeds = Annotated[
    tuple[int, ...],
    BeforeValidator(read_seeds),
    PlainSerializer(write_seeds, return_type=str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "examples": ["1000..1049"]},
                {"type": "array", "items": {"type": "integer", "minimum": 0}},
                {
                    "type": "object",
                    "properties": {"start": {"type": "integer"}, "count": {"type": "integer"}},
                    "required": ["count"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]

Tag = str | int | float | bool
Table = dict[str, Any]


def _read_table(value: dict[str, Any]) -> range:
    unknown = set(value) - {"start", "count"}
    start, count = value.get("start", 0), value.get("count", -1)
    numbers = all(isinstance(n, int) and not isinstance(n, bool) for n in (start, count))
    if unknown or not numbers or count < 0:
        raise ValueError("a table of seeds is {start = 1000, count = 50}.")
    return range(start, start + count)


def _read_part(part: str) -> range:
    match = _RANGE.fullmatch(part)
    if match is None:
        raise ValueError('a text of seeds looks like "1000..1049" or "0..9, 20".')
    first = int(match[1])
    last = int(match[2]) if match[2] else first
    if last < first:
        raise ValueError(f"the range {first}..{last} runs backwards.")
    return range(first, last + 1)
