"""Keys and values of the rows that decode together: joining, leaving, growing by a column.

All rows end at the right edge; what is left of a row is zeros that its mask hides. Each layer has
room for some columns to come, so that a step writes one column instead of copying all of them
(a quarter of a step's time in the small model).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

Keys = list[tuple[Tensor, Tensor]]  # a layer: (B, heads, T, head_dim), twice

ROOM = 64  # columns that are made in advance


class _Layer(DynamicLayer):  # type: ignore[misc]
    """A layer whose tensors are views of the used part of a wider one."""

    def __init__(self, keys: Tensor, values: Tensor, used: int) -> None:
        super().__init__()
        self.wide = (keys, values)  # (B, heads, at least T, head_dim)
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True
        self.keys, self.values = keys[:, :, :used], values[:, :, :used]

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Write the new columns behind the used ones."""
        used, new = self.keys.shape[2], key_states.shape[2]
        if used + new > self.wide[0].shape[2]:
            self.wide = (_widen(self.keys, new + ROOM), _widen(self.values, new + ROOM))
        for wide, states in zip(self.wide, (key_states, value_states), strict=True):
            wide[:, :, used : used + new] = states
        self.keys, self.values = (wide[:, :, : used + new] for wide in self.wide)
        return self.keys, self.values


def keys_of(cache: DynamicCache) -> Keys:
    """What a model has put into a cache."""
    return [(layer.keys, layer.values) for layer in cache.layers]


def stack(above: Keys, below: Keys) -> DynamicCache:
    """Rows of two batches as one cache, the shorter one padded on the left. `above` may be []."""
    if not above:
        return _cache([(_widen(k, ROOM), _widen(v, ROOM)) for k, v in below], below)
    width = max(above[0][0].shape[2], below[0][0].shape[2])
    pairs = zip(above, below, strict=True)
    wide = [(_stack(a[0], b[0], width), _stack(a[1], b[1], width)) for a, b in pairs]
    return _cache(wide, above, width)


def pick(keys: Keys, rows: Tensor, first: int) -> DynamicCache:
    """Only these rows and the columns from `first` on."""
    kept = [(k[:, :, first:][rows], v[:, :, first:][rows]) for k, v in keys]
    return _cache([(_widen(k, ROOM), _widen(v, ROOM)) for k, v in kept], kept)


def close_gaps(keys: Keys, mask: Tensor, done: int) -> tuple[Keys, Tensor]:
    """Close the gap between a shared beginning and the padded rests behind it.

    keys: (B, heads, done + S, head_dim) a layer; mask: (B, S) of the rests. Result: the same width,
    every row's `done` + own columns at the right edge, and the mask of that, (B, done + S).
    """
    width = done + mask.shape[1]
    gaps = mask.shape[1] - mask.sum(1, keepdim=True)  # (B, 1)
    columns = torch.arange(width, device=mask.device)[None]  # (1, T)
    whole = (columns >= gaps).long()
    if not done or not bool(gaps.any()):
        return keys, whole
    source = torch.where(columns < gaps + done, (columns - gaps).clamp(min=0), columns)  # (B, T)

    def move(tensor: Tensor) -> Tensor:
        return tensor.gather(2, source[:, None, :, None].expand_as(tensor))

    return [(move(k), move(v)) for k, v in keys], whole


def _cache(wide: Keys, like: Keys, width: int | None = None) -> DynamicCache:
    cache = DynamicCache()
    used = width or like[0][0].shape[2]
    cache.layers = [_Layer(k, v, used) for k, v in wide]
    return cache


def _widen(tensor: Tensor, more: int) -> Tensor:
    """The same columns with `more` empty ones behind them."""
    return torch.nn.functional.pad(tensor, (0, 0, 0, more))


def _stack(above: Tensor, below: Tensor, width: int) -> Tensor:
    """(B1 + B2, heads, width + ROOM, head_dim), both ending at column `width`."""
    n_above, heads, n, size = above.shape
    made = above.new_zeros((n_above + below.shape[0], heads, width + ROOM, size))
    made[:n_above, :, width - n : width] = above
    made[n_above:, :, width - below.shape[2] : width] = below
    return made
