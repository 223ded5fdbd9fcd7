"""Beginnings that many prompts share: read once, their keys and values kept.

A game's system prompt and its tools are the same in every turn; a language model would read their
hundreds of tokens again each time. Attention looks back only, so the first columns of one prompt's
cache serve any prompt that begins alike. Valid as long as the weights stay as they are.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import NamedTuple

from engine.serve.keys import Keys

LEAST = 32  # tokens; a shorter beginning is read as fast as it is looked up
LONGEST = 4096  # tokens of a prompt that are kept
MAX_KEPT = 8
MAX_SEEN = 4  # prompts that a new one is compared with


class Shared(NamedTuple):
    """The beginning that a prompt shares: `size` tokens of the kept prompt `name`."""

    name: tuple[str, tuple[int, ...]]
    size: int


class Prefixes:
    """Kept beginnings by adapter. Not thread-safe: one thread owns it with its batch."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, tuple[int, ...]], Keys] = OrderedDict()
        self._seen: dict[str, deque[list[int]]] = {}
        self.n_hits = 0
        self.tokens_saved = 0

    def find(self, adapter: str, prompt: Sequence[int]) -> Shared | None:
        """The longest kept beginning of a prompt; its last token is always left to be read."""
        found = [
            Shared(name, min(n_shared(name[1], prompt), len(prompt) - 1))
            for name in self._kept
            if name[0] == adapter
        ]
        best = max(found, key=lambda shared: shared.size, default=None)
        return best if best is not None and best.size >= LEAST else None

    def take(self, shared: Shared, n_rows: int) -> Keys:
        """Its keys and values, (1, heads, size, head_dim), for `n_rows` prompts."""
        self._kept.move_to_end(shared.name)
        self.n_hits += n_rows
        self.tokens_saved += n_rows * shared.size
        size = shared.size
        return [(k[:, :, :size], v[:, :, :size]) for k, v in self._kept[shared.name]]

    def learn(self, adapter: str, prompt: list[int], keys: Keys, row: int) -> None:
        """Keep a prompt that was read whole when an earlier one began like it.

        keys: of the batch it was read in; its columns end at the right edge in row `row`.
        """
        seen = self._seen.setdefault(adapter, deque(maxlen=MAX_SEEN))
        if any(n_shared(other, prompt) >= LEAST for other in seen):
            end = min(len(prompt), LONGEST)
            first = keys[0][0].shape[2] - len(prompt)
            here = (slice(row, row + 1), slice(None), slice(first, first + end))
            self._kept[adapter, tuple(prompt[:end])] = [
                (k[here].clone(), v[here].clone()) for k, v in keys
            ]
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        seen.append(prompt)

    def forget(self, adapter: str) -> None:
        """An adapter is gone, and with it what was read through it."""
        self._seen.pop(adapter, None)
        for name in [name for name in self._kept if name[0] == adapter]:
            del self._kept[name]


def n_shared(one: Sequence[int], other: Sequence[int]) -> int:
    """With how many equal tokens two prompts begin."""
    n = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        n += 1
    return n
