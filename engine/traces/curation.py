"""Rules that choose turns for training beyond what an episode achieved.

Lives here: what a turn led to, what RL leaves out, which side of a split a seed is on, what is
double or too many. The same rules serve datasets, `export_sft`, pages and the training itself, on
our traces and on files. Not here: reading any.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

from engine.traces.record import BROKEN

Split = Literal["all", "train", "validation"]
_STEPS = 1_000_000


def turns_before(unlocking: Iterable[int], n: int) -> set[int]:
    """The turns that led to an unlock: the unlocking one and those before it, `n` in all."""
    return {turn for last in unlocking for turn in range(max(0, last - n + 1), last + 1)}


def led_to(unlocks: Mapping[int, list[str]], turn: int) -> str:
    """The first achievement unlocked in this turn or the next one after it; "" for none."""
    later = [index for index, names in unlocks.items() if index >= turn and names]
    return unlocks[min(later)][0] if later else ""


def left_out(ended: str, finish_reason: str) -> str:
    """Why RL leaves an answer out (`loss.mask_truncated`), in words; "" where it trains on it."""
    if ended in BROKEN:
        return "the game broke off"
    if ended == "limit":
        return "the game ran into a limit"
    return "the answer was cut off" if finish_reason == "length" else ""


def in_split(world: str, split: Split, share: float) -> bool:
    """Whether a world (its seed as text) is on that side; `share` of all are validation.

    The seed alone decides: all games of one world are on one side, in every export.
    """
    if split == "all":
        return True
    digest = hashlib.sha256(f"split:{world}".encode()).digest()
    validation = int.from_bytes(digest[:8], "big") % _STEPS < share * _STEPS
    return validation == (split == "validation")


class Curator:
    """Leaves out records that came before or that make one achievement weigh too much.

    Holds 16 bytes a kept record and a count an achievement; first come, first kept.
    """

    def __init__(self, *, dedupe: bool = False, max_per_achievement: int | None = None) -> None:
        self._dedupe = dedupe
        self._most = max_per_achievement
        self._seen: set[bytes] = set()
        self._counts: Counter[str] = Counter()

    def keeps(self, messages: bytes, achievement: str) -> bool:
        """Whether a record is kept, which then counts. `messages`: its conversation as JSON."""
        digest = b""
        if self._dedupe:
            digest = hashlib.sha256(messages).digest()[:16]
            if digest in self._seen:
                return False
        if self._most is not None and self._counts[achievement] >= self._most:
            return False
        self._counts[achievement] += 1
        if self._dedupe:
            self._seen.add(digest)
        return True
