"""Examples put together for one pass through a model: padded, packed, or behind a shared beginning.

Records of an agent begin alike: a system prompt and its tools, often ten times as long as what
follows. Such a beginning is read once for a row of records (`_behind_one_beginning`): each of them
sees the beginning and itself, at the positions that it would have alone. The loss is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from engine.train.data import IGNORED

LEAST_SHARED = 64  # tokens of a beginning that is worth it
LONGEST_ROW = 4096  # attention in a row grows with its square
# Decoders whose attention mask may have any form (no window, no recurrent layer).
_PLAIN = ("gemma", "granite", "llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3", "smollm3")


def may_share(model: Any) -> bool:
    """Whether a model's rows may hold several records behind one beginning."""
    config = model.config
    layers = set(getattr(config, "layer_types", None) or ("full_attention",))
    getattr(config, "use_sliding_window", True) and getattr(config, "sliding_window", 0)
    return (
        config.model_type in _PLAIN
        and layers == {"full_attention"}
        and getattr(config, "_attn_implementation", "") == "sdpa"
        and not (
            getattr(config, "use_sliding_window", True) and getattr(config, "sliding_window", 0)
        )
    )


def collate(
    examples: Sequence[dict[str, Any]],
    pad_id: int,
    pack_to: int | None = None,
    *,
    share: bool = False,
) -> dict[str, Tensor]:
    """Pad on the right to the longest: input_ids, attention_mask, labels (B, T), record (B,).

    pack_to: put several records into a row of at most so many tokens instead. Their positions begin
    at 0 again, by which the model keeps them apart: the loss is the same with less padding.
    share: read a long beginning of all of them once; the mask is (B, 1, T, T) then. `n_tokens` (1,)
    counts the tokens of the records, however they are laid out.
    """
    n_shared = _shared(examples) if share and not pack_to else 0
    if n_shared:
        return _behind_one_beginning(examples, pad_id, n_shared)
    rows = _packed(examples, pack_to) if pack_to else [[e] for e in examples]
    width = max(sum(len(e["input_ids"]) for e in row) for row in rows)
    shape = (len(rows), width)
    batch = {
        "input_ids": torch.full(shape, pad_id, dtype=torch.long),
        "labels": torch.full(shape, IGNORED, dtype=torch.long),
        "position_ids": torch.zeros(shape, dtype=torch.long),
        "attention_mask": torch.zeros(shape, dtype=torch.long),
        "record": torch.tensor([e["record"] for e in examples]),
        "n_tokens": torch.tensor([sum(len(e["input_ids"]) for e in examples)]),
    }
    for index, row in enumerate(rows):
        start = 0
        for example in row:
            n = len(example["input_ids"])
            here = (index, slice(start, start + n))
            batch["input_ids"][here] = torch.tensor(example["input_ids"])
            batch["labels"][here] = torch.tensor([IGNORED, *example["labels"][1:]])
            batch["position_ids"][here] = torch.arange(n)
            batch["attention_mask"][here] = 1
            start += n
    del batch["attention_mask" if pack_to else "position_ids"]
    return batch


def _packed(examples: Sequence[dict[str, Any]], width: int) -> list[list[dict[str, Any]]]:
    """Records in rows of at most `width` tokens, each in the first row that has room."""
    rows: list[list[dict[str, Any]]] = []
    room: list[int] = []
    for example in sorted(examples, key=lambda e: -len(e["input_ids"])):
        n = len(example["input_ids"])
        index = next((i for i, left in enumerate(room) if left >= n), len(rows))
        if index == len(rows):
            rows.append([])
            room.append(max(width, n))
        rows[index].append(example)
        room[index] -= n
    return rows


def _shared(examples: Sequence[dict[str, Any]]) -> int:
    """Tokens that all begin with, where reading them once halves the work; else 0.

    What is learned stays behind it, with one token between: that is predicted by the beginning's
    last one, which other records follow.
    """
    ids = [example["input_ids"] for example in examples]
    first, last = min(ids), max(ids)
    n = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    for example in examples:
        spoken = (i for i, label in enumerate(example["labels"]) if label != IGNORED)
        n = min(n, next(spoken, len(example["labels"])) - 1, len(example["input_ids"]) - 1)
    saved = (len(ids) - 1) * n
    return n if n >= LEAST_SHARED and 2 * saved >= sum(map(len, ids)) else 0


def _behind_one_beginning(
    examples: Sequence[dict[str, Any]], pad_id: int, n_shared: int
) -> dict[str, Tensor]:
    """Rows of a beginning and, one after the other, what each record says behind it."""
    beginning = examples[0]["input_ids"][:n_shared]
    parts = [
        {"input_ids": e["input_ids"][n_shared:], "labels": e["labels"][n_shared:]} for e in examples
    ]
    rows = _packed(parts, max(1, LONGEST_ROW - n_shared))
    width = n_shared + max(sum(len(part["input_ids"]) for part in row) for row in rows)
    batch = {
        "input_ids": torch.full((len(rows), width), pad_id, dtype=torch.long),
        "labels": torch.full((len(rows), width), IGNORED, dtype=torch.long),
        "position_ids": torch.zeros((len(rows), width), dtype=torch.long),
        "attention_mask": torch.eye(width, dtype=torch.bool).repeat(len(rows), 1, 1, 1),
        "record": torch.tensor([e["record"] for e in examples]),
        "n_tokens": torch.tensor([sum(len(e["input_ids"]) for e in examples)]),
    }
    for index, row in enumerate(rows):
        batch["input_ids"][index, :n_shared] = torch.tensor(beginning)
        batch["position_ids"][index, :n_shared] = torch.arange(n_shared)
        mask = batch["attention_mask"][index, 0]
        mask[:n_shared, :n_shared] = torch.ones(n_shared, n_shared, dtype=torch.bool).tril()
        start = n_shared
        for part in row:
            n = len(part["input_ids"])
            here = slice(start, start + n)
            batch["input_ids"][index, here] = torch.tensor(part["input_ids"])
            batch["labels"][index, here] = torch.tensor(part["labels"])
            batch["position_ids"][index, here] = torch.arange(n_shared, n_shared + n)
            mask[here, :n_shared] = True
            mask[here, here] = torch.ones(n, n, dtype=torch.bool).tril()
            start += n
    return batch
