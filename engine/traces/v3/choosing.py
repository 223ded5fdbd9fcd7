"""Which sessions an SFT export takes: the filters of `synth-ai`, with their exact meaning.

Lives here: the filter and what is known of a session before its calls are read. Not here: calls
(`calls.py`), records (`sft.py`).

Achievements are read under both names: where the original exporter's (`new_unique`, `turned_true`,
`achievements` of the outcome) are missing, those that the task app writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from engine.traces.curation import Split, in_split
from engine.traces.v3.session import load_object

UNIQUE = "unique_achievement_delta"
ALL = "achievement_delta"


@dataclass(frozen=True)
class SftFilter:
    """Everything that is given must hold. The upper half is the original's, the lower ours."""

    models: frozenset[str] = frozenset()  # of the session's most used model; only its calls
    providers: frozenset[str] = frozenset()
    min_unique: int | None = None
    max_unique: int | None = None
    ignore: frozenset[str] = frozenset()  # achievements that min_unique and max_unique do not count
    require: frozenset[str] = frozenset()
    min_outcome: float | None = None
    max_outcome: float | None = None
    event_rewards: tuple[tuple[str, float], ...] = ()  # (reward type, least sum)

    turns_before_unlock: int | None = None
    drop_failed_calls: bool = False
    dedupe: bool = False
    max_per_achievement: int | None = None
    split: Split = "all"
    validation_share: float = 0.1


class RewardRow(NamedTuple):
    """A row of event_rewards with the metadata of its event."""

    kind: str | None
    value: float
    annotation: Any
    event_metadata: Any


@dataclass
class Facts:
    """What is known of a session without reading a call."""

    session_id: str
    world: str = ""  # the seed as text; the session's id where there is none
    model: str | None = None  # the most used
    provider: str | None = None
    n_calls: int = 0  # of that model
    new_unique: dict[int, list[str]] = field(default_factory=dict)  # by turn
    turned_true: dict[int, list[str]] = field(default_factory=dict)
    unique: set[str] = field(default_factory=set)
    final: set[str] = field(default_factory=set)
    total_reward: float = 0.0
    sums: dict[str | None, float] = field(default_factory=dict)  # of event rewards by type

    def add_model(self, model: str, provider: str | None, n_calls: int) -> None:
        """Models come in order of name; the first of the most used counts."""
        if self.n_calls == 0 or n_calls > self.n_calls:
            self.model, self.provider, self.n_calls = model, provider, n_calls

    def add_reward(self, row: RewardRow) -> None:
        value = float(row.value or 0)
        self.sums[row.kind] = self.sums.get(row.kind, 0.0) + value
        if value <= 0 or row.kind not in (UNIQUE, ALL):
            return
        turn = load_object(row.event_metadata).get("turn")
        if not isinstance(turn, int):
            return
        names = _achieved(row.annotation, "new_unique" if row.kind == UNIQUE else "turned_true")
        if not names:
            return
        turns = self.new_unique if row.kind == UNIQUE else self.turned_true
        turns.setdefault(turn, []).extend(names)
        if row.kind == UNIQUE:
            self.unique.update(names)

    def add_outcome(self, total_reward: Any, metadata: Any) -> None:
        """The last outcome of a session counts."""
        names = set(named(load_object(metadata), "achievements", "final_achievements"))
        self.total_reward = float(total_reward or 0)
        self.final = names
        self.unique |= names


def named(said: dict[str, Any], *words: str) -> list[str]:
    """The names under the first of these words that is there."""
    for word in words:
        if isinstance(said.get(word), list):
            return [name for name in said[word] if isinstance(name, str)]
    return []


@lru_cache(maxsize=1024)
def _achieved(annotation: Any, word: str) -> tuple[str, ...]:
    """The names in a reward's annotation; the same few come again and again."""
    return tuple(named(load_object(annotation), word, "achievements"))


def is_wanted(facts: Facts, wanted: SftFilter) -> bool:
    """Whether a session is exported. One that never called a model is not."""
    if facts.n_calls == 0:
        return False
    count = len(facts.unique - wanted.ignore)
    return (
        (not wanted.models or facts.model in wanted.models)
        and (not wanted.providers or (facts.provider or "unknown") in wanted.providers)
        and _between(count, wanted.min_unique, wanted.max_unique)
        and _between(facts.total_reward, wanted.min_outcome, wanted.max_outcome)
        and wanted.require <= facts.final
        and all(facts.sums.get(kind, 0.0) >= least for kind, least in wanted.event_rewards)
        and in_split(facts.world, wanted.split, wanted.validation_share)
    )


def read_event_rewards(texts: Iterable[str]) -> tuple[tuple[str, float], ...]:
    """`type[:least sum]` as the command line says it. Raises ValueError that says which is odd."""
    found = []
    for text in texts:
        kind, _, least = text.partition(":")
        if not kind.strip():
            continue
        try:
            found.append((kind.strip(), float(least or 0)))
        except ValueError as err:
            raise ValueError(f"{text}: {least!r} is no number") from err
    return tuple(found)


def _between(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)
