"""What is counted of a dataset while its records stream by: bounded memory, whatever its size."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any, Protocol

from apps.datasets.records import Record

LENGTH_BUCKET = 250  # characters
MAX_SEEN = 100_000  # conversations remembered to find doubles: 8 MB
MAX_KINDS = 200  # different words counted of each kind; more are summed as "other"


class Played(Protocol):
    """What is counted of a game: an episode's row, or less."""

    @property
    def n_achievements(self) -> int: ...
    @property
    def episode_return(self) -> float: ...
    @property
    def model(self) -> str: ...
    @property
    def policy(self) -> str: ...


class Statistics:
    """Counts of records and games; `to_json` is what rows and previews show.

    Histograms are {lower bound: count}: record length in characters, return, achievements.
    """

    def __init__(self) -> None:
        self.n_records = 0
        self.n_episodes = 0
        self.n_chars = 0
        self.n_with_calls = 0
        self.n_doubles = 0
        self._seen: set[bytes] = set()
        self._lengths: Counter[int] = Counter()
        self._returns: Counter[float] = Counter()
        self._unique: Counter[int] = Counter()
        self._models: Counter[str] = Counter()
        self._achievements: Counter[str] = Counter()
        self._records_per_episode: Counter[int] = Counter()

    def add_record(self, record: Record, n_chars: int) -> None:
        """Count one record; `n_chars` is its length as a line."""
        self.n_records += 1
        self.n_chars += n_chars
        self._lengths[n_chars // LENGTH_BUCKET * LENGTH_BUCKET] += 1
        self._look_for_double(record)
        self.n_with_calls += any(message.get("tool_calls") for message in record["messages"])

    def _look_for_double(self, record: Record) -> None:
        """A conversation that was held before counts; after MAX_SEEN kept ones only those."""
        said = json.dumps(record["messages"], sort_keys=True).encode()
        digest = hashlib.sha256(said).digest()[:8]
        if digest in self._seen:
            self.n_doubles += 1
        elif len(self._seen) < MAX_SEEN:
            self._seen.add(digest)

    def add_episode(self, episode: Played, achievements: list[str], n_records: int) -> None:
        """Count one game of which `n_records` were taken."""
        self.n_episodes += 1
        self._unique[episode.n_achievements] += 1
        _count(self._returns, float(round(episode.episode_return)))
        _count(self._models, episode.model or episode.policy)
        for name in achievements:
            _count(self._achievements, name)
        self._records_per_episode[n_records // 10 * 10] += 1

    def to_json(self) -> dict[str, Any]:
        return {
            "n_records": self.n_records,
            "n_episodes": self.n_episodes,
            "n_chars": self.n_chars,
            "mean_chars": round(self.n_chars / self.n_records, 1) if self.n_records else 0,
            "n_with_calls": self.n_with_calls,
            **({"n_doubles": self.n_doubles} if self._seen else {}),
            "length": _sorted(self._lengths),
            "return": _sorted(self._returns),
            "unique": _sorted(self._unique),
            "records_per_episode": _sorted(self._records_per_episode),
            "models": dict(self._models.most_common()),
            "achievements": dict(self._achievements.most_common()),
        }


def _count(counter: Counter[Any], word: Any) -> None:
    counter[word if word in counter or len(counter) < MAX_KINDS else "other"] += 1


def _sorted(counter: Counter[Any]) -> dict[str, int]:
    """JSON keys are strings; sorted by the number that they say."""
    numbers = sorted(key for key in counter if key != "other")
    found = {f"{key:g}": counter[key] for key in numbers}
    return {**found, "other": counter["other"]} if "other" in counter else found
