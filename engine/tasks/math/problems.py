"""Problems from a seed (reasoning-gym) or from the operator's file; what is in which split.

A seed's problem is the same in every process. Two guards keep the splits apart. The generator is
seeded from ranges that do not overlap. And a drawn problem belongs to the test problems by its
content (a hash of its words and numbers in any order says so): whatever belongs to the other split
is drawn again. So no training, on however many seeds, meets a test problem, nor one whose terms
are those of a test problem in another order, although small families repeat themselves.

Left out are families in which the question names a value equal to the answer (simplify a fraction,
multiply out, integrate): the judge compares values, so copying the question would count.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from engine.errors import ConfigError, TaskError
from engine.tasks.math.names import (
    DIFFICULTIES,
    LOCAL,
    NOT_INSTALLED,
    file_hash,
    problems_path,
)

TEST_SHARE = 0.2
SEEDS_A_SPLIT = 2**30  # the generator's seeds: [0, 2^30) for train, [2^30, 2^31) for test
MOST_DRAWS = 1000
MOST_CHARACTERS = 20_000  # of a problem of the local file

# Without division: below brackets and signs, reasoning-gym 0.1.25 rounds some quotients down, and
# 7 of 200 hard answers were wrong.
_WHOLE = ("+", "-", "*")
# family -> easy, normal, hard: what reasoning-gym's generator of that name is given
FAMILIES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "chain_sum": (
        {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2},
        {"min_terms": 2, "max_terms": 4, "min_digits": 1, "max_digits": 3},
        {"min_terms": 4, "max_terms": 8, "min_digits": 2, "max_digits": 5, "allow_negation": True},
    ),
    "products": (
        {"min_digits": 1, "max_digits": 2},
        {"min_digits": 1, "max_digits": 3},
        {"min_digits": 3, "max_digits": 5, "allow_negation": True},
    ),
    "basic_arithmetic": (
        {"min_terms": 2, "max_terms": 3, "max_digits": 2, "operators": _WHOLE},
        {"min_terms": 2, "max_terms": 5, "max_digits": 3, "operators": _WHOLE},
        {"min_terms": 4, "max_terms": 8, "min_digits": 2, "operators": _WHOLE},
    ),
    "gcd": ({"max_value": 100}, {"max_value": 1000}, {"max_numbers": 3, "max_value": 10_000}),
    "lcm": ({"max_value": 30}, {"max_value": 100}, {"max_numbers": 3, "max_value": 100}),
    "simple_equations": (
        {"max_terms": 2, "max_value": 20},
        {"max_terms": 3, "max_value": 100},
        {"max_terms": 5, "max_value": 1000},
    ),
    "leg_counting": (
        {"min_animals": 2, "max_animals": 3, "max_instances": 5},
        {"min_animals": 3, "max_animals": 6, "max_instances": 15},
        {"min_animals": 6, "max_animals": 12, "max_instances": 64},
    ),
    "gsm_symbolic": ({}, {}, {}),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. `split` is as it was asked for, `index` its place there."""

    text: str
    answer: str
    split: str
    index: int


def families() -> list[str]:
    """The names that the option `family` takes."""
    return sorted([*FAMILIES, LOCAL])


def find_problem(seed: int, options: Mapping[str, Any]) -> Problem:
    """The problem of a seed. options: split, family, difficulty (complete and checked).

    Raises ConfigError for a local file that holds none, TaskError when the generator breaks.
    """
    split = options["split"]
    wants_test = split != "train"
    if options["family"] == LOCAL:
        rows = _local_rows(file_hash(problems_path()))[wants_test]
        if not rows:
            raise ConfigError(f"the local file has no problem for the split {split}")
        text, answer = rows[seed % len(rows)]
        return Problem(text, answer, split, seed % len(rows))
    for draw in range(MOST_DRAWS):
        text, answer = _generate(options["family"], options["difficulty"], seed, draw, wants_test)
        if is_test(text) == wants_test:
            return Problem(text, answer, split, seed)
    raise TaskError(
        f"{options['family']} has too few problems for the split {split}", retryable=False
    )


def is_test(text: str) -> bool:
    """Whether a problem belongs to the test problems: by its words and numbers, in any order."""
    words = " ".join(sorted(re.findall(r"\w+|[^\w\s]", text.lower())))
    share = int.from_bytes(hashlib.sha256(words.encode()).digest()[:8]) / 2**64
    return share < TEST_SHARE


def _generate(
    family: str, difficulty: str, seed: int, draw: int, wants_test: bool
) -> tuple[str, str]:
    create_dataset = _generator()
    digest = hashlib.sha256(f"{seed}:{draw}".encode()).digest()
    drawn = int.from_bytes(digest[:8]) % SEEDS_A_SPLIT + wants_test * SEEDS_A_SPLIT
    parameters = FAMILIES[family][DIFFICULTIES.index(difficulty)]
    try:
        item = create_dataset(family, seed=drawn, size=1, **parameters)[0]
    except Exception as err:  # whatever a generator raises: this episode cannot be played
        raise TaskError(f"reasoning-gym's {family}: {err}", retryable=False) from err
    return str(item["question"]), str(item["answer"])


def _generator() -> Callable[..., Any]:
    """reasoning-gym's; importing it takes seconds, so only who plays Math waits for it."""
    try:
        from reasoning_gym import create_dataset
    except ImportError as err:
        raise ConfigError(NOT_INSTALLED) from err
    return create_dataset  # type: ignore[no-any-return]


@lru_cache(maxsize=2)
def _local_rows(sha256: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(train, test): problem and answer of each line; by its `split`, else by its content."""
    del sha256  # of the file: a changed one is read again
    rows: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
    with problems_path().open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                text, answer, split = _read_line(line, number)
                rows[split != "train" if split else is_test(text)].append((text, answer))
    return rows


def _read_line(line: str, number: int) -> tuple[str, str, str]:
    where = f"{problems_path().name}:{number}"
    try:
        record = json.loads(line)
    except ValueError as err:
        raise ConfigError(f"{where}: no JSON: {err}") from err
    if not isinstance(record, dict):
        raise ConfigError(f'{where}: expected an object {{"problem", "answer"}}')
    text = record.get("problem", record.get("question"))
    answer, split = record.get("answer"), record.get("split", "")
    if not isinstance(text, str) or not text.strip() or not isinstance(answer, str | int | float):
        raise ConfigError(f'{where}: needs "problem" (text) and "answer" (text or number)')
    if split not in ("", "train", "validation", "test"):
        raise ConfigError(f"{where}: split must be train, validation or test, found {split!r}")
    return text[:MOST_CHARACTERS], str(answer), split
