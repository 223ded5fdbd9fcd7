"""Decoding many requests together, one token a step; requests join and leave between steps.

All rows share one key-value cache whose right edge is now: a row that joins is padded on the left
to the length of the others (or they to its length), a row that ends is cut out. Positions are each
row's own, so padding changes nothing but the attention mask. Works for every Hugging Face decoder
with full attention. A cache of common prefixes does not pay here: the small model's system prompt
is one token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel


@dataclass(slots=True)
class Row:
    """One running request. `completion` and `logprobs` grow together, one entry a sampled token."""

    prompt: list[int]
    temperature: float
    top_p: float
    max_tokens: int
    stop_ids: frozenset[int]
    generator: torch.Generator
    completion: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: str = ""  # "" while it runs; "stop" or "length"

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.completion)


class Batch:
    """The rows that decode together. Not thread-safe: one thread owns it."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.rows: list[Row] = []
        self._keys: list[tuple[Tensor, Tensor]] = []  # a layer: (B, heads, T, head_dim), twice
        self._mask = torch.zeros((0, 0), dtype=torch.long, device=model.device)  # (B, T)

    @torch.inference_mode()
    def join(self, rows: Sequence[Row]) -> None:
        """Read the prompts of new rows and sample the first token of each."""
        width = max(len(row.prompt) for row in rows)
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for index, row in enumerate(rows):
            ids[index, width - len(row.prompt) :] = torch.tensor(row.prompt)
            mask[index, width - len(row.prompt) :] = 1
        ids, mask = ids.to(self.model.device), mask.to(self.model.device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        cache = DynamicCache()
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            logits_to_keep=1,
        )
        _sample_into(rows, output.logits[:, -1])
        self._merge(rows, _layers(cache), mask)
        self._leave()

    @torch.inference_mode()
    def step(self) -> None:
        """Sample one more token for every row."""
        last = [[row.completion[-1]] for row in self.rows]
        positions = [[row.length - 1] for row in self.rows]
        device = self.model.device
        ones = torch.ones((len(self.rows), 1), dtype=torch.long, device=device)
        self._mask = torch.cat([self._mask, ones], dim=1)
        cache = DynamicCache(self._keys)
        output = self.model(
            input_ids=torch.tensor(last, device=device),
            attention_mask=self._mask,
            position_ids=torch.tensor(positions, device=device),
            past_key_values=cache,
        )
        self._keys = _layers(cache)
        _sample_into(self.rows, output.logits[:, -1])
        self._leave()

    def drop(self, rows: Sequence[Row]) -> None:
        """Stop rows that nobody waits for any more."""
        for row in rows:
            row.finish_reason = row.finish_reason or "cancelled"
        self._leave()

    def _merge(self, rows: Sequence[Row], keys: list[tuple[Tensor, Tensor]], mask: Tensor) -> None:
        """Put new rows below the old ones, both padded on the left to one width."""
        if self.rows:
            width = max(mask.shape[1], self._mask.shape[1])
            keys = [
                (
                    torch.cat([_pad(old_k, width), _pad(new_k, width)]),
                    torch.cat([_pad(old_v, width), _pad(new_v, width)]),
                )
                for (old_k, old_v), (new_k, new_v) in zip(self._keys, keys, strict=True)
            ]
            mask = torch.cat([_pad_mask(self._mask, width), _pad_mask(mask, width)])
        self._keys, self._mask = keys, mask
        self.rows = [*self.rows, *rows]

    def _leave(self) -> None:
        """Cut out finished rows and the padding that no remaining row needs."""
        stay = [index for index, row in enumerate(self.rows) if not row.finish_reason]
        if len(stay) == len(self.rows):
            return
        self.rows = [self.rows[index] for index in stay]
        picked = torch.tensor(stay, dtype=torch.long, device=self._mask.device)
        self._mask = self._mask[picked]
        # A row's last sampled token is not in the cache yet.
        longest = max((row.length - 1 for row in self.rows), default=0)
        cut = self._mask.shape[1] - longest
        self._mask = self._mask[:, cut:]
        self._keys = [(k[picked][:, :, cut:], v[picked][:, :, cut:]) for k, v in self._keys]


def sample(
    logits: Tensor, temperature: float, top_p: float, generator: torch.Generator
) -> tuple[int, float]:
    """One token of one row and its natural log probability under the whole distribution.

    logits: (V,) float32. Temperature 0 takes the most likely. The logprob is that of the
    distribution at this temperature, before `top_p` cuts it: what RL needs to compare.
    """
    if temperature <= 0:
        logprobs = logits.log_softmax(-1)
        token = int(logprobs.argmax())
        return token, float(logprobs[token])
    logprobs = (logits / temperature).log_softmax(-1)
    probabilities = logprobs.exp()
    if top_p < 1:
        ordered, order = probabilities.sort(descending=True)
        keep = ordered.cumsum(0) - ordered < top_p
        probabilities = torch.zeros_like(probabilities).scatter(0, order[keep], ordered[keep])
    token = int(torch.multinomial(probabilities, 1, generator=generator))
    return token, float(logprobs[token])


def _sample_into(rows: Sequence[Row], logits: Tensor) -> None:
    """logits: (B, V). Appends one token to each row and says which are finished."""
    for row, row_logits in zip(rows, logits.float().cpu(), strict=True):
        token, logprob = sample(row_logits, row.temperature, row.top_p, row.generator)
        row.completion.append(token)
        row.logprobs.append(logprob)
        if token in row.stop_ids:
            row.finish_reason = "stop"
        elif len(row.completion) >= row.max_tokens:
            row.finish_reason = "length"


def _layers(cache: DynamicCache) -> list[tuple[Tensor, Tensor]]:
    return [(layer.keys, layer.values) for layer in cache.layers]


def _pad(tensor: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(tensor, (0, 0, width - tensor.shape[2], 0))


def _pad_mask(mask: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(mask, (width - mask.shape[1], 0))
