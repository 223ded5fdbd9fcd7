"""Which curves a page draws first, which wait in a fold, and which are the band of another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from apps.runs.queries import SeriesRow

BANDS = ("_low", "_high")  # train.reward_low and train.reward_high bound train.reward
# What a curve is worth: how well it goes first, how fast last.
FIRST = (
    "episodes.achievements",
    "episodes.accuracy",
    "train.reward",
    "train.loss",
    "val.loss",
    "train.accuracy",
    "episodes.return",
    "eval.reward",
    "train.entropy",
    "train.kl",
    "groups.dead_share",
    "train.clip_fraction",
    "episodes.repeated_calls",
)
PINNED = 12  # curves that are open; a run may have a thousand
LAST = ("train.grad_norm", "train.learning_rate", "calls.failed", "episodes.broken")
FOLDED = ("achievement.", "tokens", "time.")  # the bars and sums say it better
SYSTEM = "system."  # of the machine, by seconds: these have a card of their own
TIMES = {
    "time.generate": "playing",
    "time.environment": "the games themselves",
    "time.train": "learning",
    "time.sync": "handing on the weights",
}


@dataclass(frozen=True)
class Curves:
    """The series of a run as its page shows them, each in order of worth."""

    shown: list[SeriesRow]
    folded: list[SeriesRow]


@dataclass(frozen=True)
class TimeShare:
    """One part of the last update's time; start and share are per cent."""

    words: str
    start: float
    share: float


def order_curves(series: Iterable[SeriesRow]) -> Curves:
    """What is drawn where; bounds of another curve have no chart of their own."""
    rows = sorted((row for row in series if not row.name.startswith(SYSTEM)), key=_rank)
    names = {row.name for row in rows}
    rows = [row for row in rows if not is_band(row.name, names)]
    shown = [row for row in rows if _tells(row)][:PINNED]
    return Curves(shown=shown, folded=[row for row in rows if row not in shown])


def is_band(name: str, names: Iterable[str]) -> bool:
    """Whether this is a bound of another of these metrics."""
    return any(name.endswith(end) and name.removesuffix(end) in names for end in BANDS)


def split_time(series: Sequence[SeriesRow]) -> list[TimeShare]:
    """Where the time of the last update went; empty for runs that do not say."""
    seconds = {row.name: row.last_value for row in series if row.name in TIMES}
    total = sum(seconds.values())
    found: list[TimeShare] = []
    start = 0.0
    for name, words in TIMES.items():
        if total and name in seconds:
            share = 100 * seconds[name] / total
            found.append(TimeShare(words, start, share))
            start += share
    return found


def _tells(row: SeriesRow) -> bool:
    """Whether a curve has left zero and is no part of what stands elsewhere on the page."""
    moved = bool(row.min_value or row.max_value)
    return moved and not row.name.startswith(FOLDED)


def _rank(row: SeriesRow) -> tuple[int, int, str]:
    """Scores and losses, then what has no name here, then knobs and counts, then rates."""
    if row.name in FIRST:
        return 0, FIRST.index(row.name), row.name
    if row.name.endswith("per_second"):
        return 3, 0, row.name
    return (2, LAST.index(row.name), row.name) if row.name in LAST else (1, 0, row.name)
