"""Decoding many requests together, one token a step; requests join and leave between steps.

All rows share one key-value cache whose right edge is now: a row that joins is padded on the left
to the length of the others (or they to its length), a row that ends is cut out. Positions are each
row's own, so padding changes nothing but the attention mask. Works for every Hugging Face decoder
with full attention. Rows of one batch may each go through an adapter of their own (PEFT's mixed
batches); beginnings that prompts share are read once (`prefixes.py`), where the owner asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from engine.serve.prefixes import Keys, Prefixes, Shared


@dataclass(slots=True)
class Row:
    """One running request. `completion` and `logprobs` grow together, one entry a sampled token."""

    prompt: list[int]
    temperature: float
    top_p: float
    max_tokens: int
    stop_ids: frozenset[int]
    generator: torch.Generator
    adapter: str = ""  # a name given to Batch.add_adapter; "" for the model as it is
    completion: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: str = ""  # "" while it runs; "stop" or "length"

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.completion)


class Batch:
    """The rows that decode together. Not thread-safe: one thread owns it.

    prefixes: keeps what prompts share; leave it away where the weights change between requests.
    """

    def __init__(self, model: PreTrainedModel, prefixes: Prefixes | None = None) -> None:
        self.model: Any = model
        self.prefixes = prefixes
        self._adapters: list[str] = []  # those in the model, dropped ones that are still there too
        self._dropped: set[str] = set()
        self.clear()

    def clear(self) -> None:
        """Forget all rows, whatever state a failed step left them in."""
        self.rows: list[Row] = []
        self._keys: Keys = []
        self._mask = torch.zeros((0, 0), dtype=torch.long, device=self.model.device)  # (B, T)

    def add_adapter(self, name: str, folder: Path) -> None:
        """Read an adapter; rows that name it go through it, the others past it."""
        from peft import PeftModel

        options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
        if isinstance(self.model, PeftModel):
            self.model.load_adapter(folder, adapter_name=name, **options)
        else:
            self.model = PeftModel.from_pretrained(self.model, folder, adapter_name=name, **options)
        self.model.eval()
        self._adapters.append(name)
        self._delete_dropped()

    def drop_adapter(self, name: str) -> None:
        """Forget an adapter; rows that still use it end as cancelled."""
        self.drop([row for row in self.rows if row.adapter == name])
        if self.prefixes is not None:
            self.prefixes.forget(name)
        self._dropped.add(name)
        self._delete_dropped()

    def _delete_dropped(self) -> None:
        """Take dropped adapters out of the model, but for the last: PEFT needs one."""
        for name in [name for name in self._adapters if name in self._dropped]:
            if len(self._adapters) > 1:
                self.model.delete_adapter(name)
                self._adapters.remove(name)

    @torch.inference_mode()
    def join(self, rows: Sequence[Row]) -> None:
        """Read the prompts of new rows and sample the first token of each."""
        for shared, group in self._by_beginning(rows):
            past = self.prefixes.take(shared, len(group)) if self.prefixes and shared else []
            keys, mask = self._read(group, past)
            if self.prefixes is not None and not shared:
                for index, row in enumerate(group):
                    self.prefixes.learn(row.adapter, row.prompt, keys, index)
            self._merge(group, keys, mask)
        self._leave()

    @torch.inference_mode()
    def step(self) -> None:
        """Sample one more token for every row."""
        device = self.model.device
        last = torch.tensor([[row.completion[-1]] for row in self.rows], device=device)
        positions = torch.tensor([[row.length - 1] for row in self.rows], device=device)
        ones = torch.ones((len(self.rows), 1), dtype=torch.long, device=device)
        self._mask = torch.cat([self._mask, ones], dim=1)
        cache = DynamicCache(self._keys)
        logits = self._forward(self.rows, last, self._mask, positions, cache)
        self._keys = _layers(cache)
        _sample_into(self.rows, logits)
        self._leave()

    def _by_beginning(self, rows: Sequence[Row]) -> list[tuple[Shared | None, list[Row]]]:
        """Rows that can be read together, with the kept beginning that all of them share."""
        groups: dict[Any, tuple[Shared | None, list[Row]]] = {}
        for row in rows:
            shared = self.prefixes.find(row.adapter, row.prompt) if self.prefixes else None
            known, group = groups.get(shared and shared.name, (shared, []))
            if shared and known and known.size < shared.size:
                shared = known
            groups[shared and shared.name] = (shared, [*group, row])
        return list(groups.values())

    def _read(self, rows: Sequence[Row], past: Keys) -> tuple[Keys, Tensor]:
        """Prompts behind a beginning that is read already: keys and mask, all ending on the right.

        past: (1, heads, P, head_dim) a layer, or empty. Samples the first token of each row.
        """
        done = past[0][0].shape[2] if past else 0
        width = max(len(row.prompt) for row in rows) - done
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for index, row in enumerate(rows):
            rest = row.prompt[done:]
            ids[index, width - len(rest) :] = torch.tensor(rest)
            mask[index, width - len(rest) :] = 1
        device = self.model.device
        ids, mask = ids.to(device), mask.to(device)
        positions = (mask.cumsum(1) - 1).clamp(min=0) + done
        known = torch.ones((len(rows), done), dtype=torch.long, device=device)
        n_rows = len(rows)
        spread = [(k.expand(n_rows, -1, -1, -1), v.expand(n_rows, -1, -1, -1)) for k, v in past]
        cache = DynamicCache(spread) if past else DynamicCache()
        full = torch.cat([known, mask], dim=1)
        _sample_into(rows, self._forward(rows, ids, full, positions, cache))
        return _to_the_right(_layers(cache), mask, done)

    def _forward(
        self, rows: Sequence[Row], ids: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache
    ) -> Tensor:
        """Logits of the last column, (B, V); each row through its adapter."""
        mixed = {"adapter_names": [r.adapter or "__base__" for r in rows]} if self._adapters else {}
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            logits_to_keep=1,
            **mixed,
        )
        logits: Tensor = output.logits[:, -1]
        return logits

    def drop(self, rows: Sequence[Row]) -> None:
        """Stop rows that nobody waits for any more."""
        for row in rows:
            row.finish_reason = row.finish_reason or "cancelled"
        self._leave()

    def _merge(self, rows: Sequence[Row], keys: Keys, mask: Tensor) -> None:
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


def _to_the_right(keys: Keys, mask: Tensor, done: int) -> tuple[Keys, Tensor]:
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


def _layers(cache: DynamicCache) -> Keys:
    return [(layer.keys, layer.values) for layer in cache.layers]


def _pad(tensor: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(tensor, (0, 0, width - tensor.shape[2], 0))


def _pad_mask(mask: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(mask, (width - mask.shape[1], 0))
