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

from engine.serve.keys import Keys, close_gaps, keys_of, pick, stack
from engine.serve.prefixes import Prefixes, Shared


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
        self._cache: DynamicCache | None = None
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
        # All beginnings are taken before a group is read: what it teaches may push one out.
        for past, group in [
            (self.prefixes.take(shared, len(group)) if self.prefixes and shared else [], group)
            for shared, group in self._by_beginning(rows)
        ]:
            keys, mask = self._read(group, past)
            if self.prefixes is not None and not past:
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
        logits = self._forward(self.rows, last, self._mask, positions, self._cache)
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
        return close_gaps(keys_of(cache), mask, done)

    def _forward(
        self, rows: Sequence[Row], ids: Tensor, mask: Tensor, positions: Tensor, cache: Any
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
        held = keys_of(self._cache) if self._cache is not None and self.rows else []
        self._cache = stack(held, keys)
        width = max(mask.shape[1], self._mask.shape[1]) if held else mask.shape[1]
        masks = [self._mask, mask] if held else [mask]
        self._mask = torch.cat([_pad_mask(part, width) for part in masks])
        self.rows = [*self.rows, *rows]

    def _leave(self) -> None:
        """Cut out finished rows and the padding that no remaining row needs."""
        stay = [index for index, row in enumerate(self.rows) if not row.finish_reason]
        if len(stay) == len(self.rows):
            return
        self.rows = [self.rows[index] for index in stay]
        if self._cache is None or not stay:
            self.clear()
            return
        picked = torch.tensor(stay, dtype=torch.long, device=self._mask.device)
        # A row's last sampled token is not in the cache yet.
        cut = self._mask.shape[1] - max(row.length - 1 for row in self.rows)
        self._mask = self._mask[picked][:, cut:]
        self._cache = pick(keys_of(self._cache), picked, cut)


def sample(
    logits: Tensor, temperature: float, top_p: float, generator: torch.Generator
) -> tuple[int, float]:
    """One token of one row, as `sample_rows` takes it. logits: (V,)."""
    tokens, logprobs = sample_rows(logits[None], [temperature], [top_p], [generator])
    return tokens[0], logprobs[0]


def sample_rows(
    logits: Tensor,
    temperatures: Sequence[float],
    top_ps: Sequence[float],
    generators: Sequence[torch.Generator],
) -> tuple[list[int], list[float]]:
    """A token of each row and its natural log probability under the whole distribution.

    logits: (B, V) float32 on the CPU. Temperature 0 takes the most likely. A logprob is that of the
    distribution at the row's temperature, before `top_p` cuts it: what RL needs to compare. Each
    row draws one number from its own generator, so its answer does not depend on its neighbours.
    """
    heat = torch.tensor(temperatures)[:, None]  # (B, 1)
    logprobs = (logits / torch.where(heat > 0, heat, 1.0)).log_softmax(-1)
    weights = logprobs.exp().double()
    for index, top_p in enumerate(top_ps):
        if top_p < 1:
            weights[index] = _cut_tail(weights[index], top_p)
    ends = weights.cumsum(-1)  # (B, V); a token owns what lies between its neighbour's end and its
    drawn = torch.stack([torch.rand((), generator=g, dtype=torch.float64) for g in generators])
    tokens = torch.searchsorted(ends, drawn[:, None] * ends[:, -1:], right=True)
    tokens = torch.where(heat > 0, tokens, logits.argmax(-1, keepdim=True))
    return tokens[:, 0].tolist(), logprobs.gather(1, tokens)[:, 0].tolist()


def _cut_tail(weights: Tensor, top_p: float) -> Tensor:
    """Only the most likely tokens that together make `top_p`, the one that reaches it included."""
    ordered, order = weights.sort(descending=True)
    keep = ordered.cumsum(0) - ordered < top_p
    return torch.zeros_like(weights).scatter(0, order[keep], ordered[keep])


def _sample_into(rows: Sequence[Row], logits: Tensor) -> None:
    """logits: (B, V). Appends one token to each row and says which are finished."""
    tokens, logprobs = sample_rows(
        logits.float().cpu(),
        [row.temperature for row in rows],
        [row.top_p for row in rows],
        [row.generator for row in rows],
    )
    for row, token, logprob in zip(rows, tokens, logprobs, strict=True):
        row.completion.append(token)
        row.logprobs.append(logprob)
        if token in row.stop_ids:
            row.finish_reason = "stop"
        elif len(row.completion) >= row.max_tokens:
            row.finish_reason = "length"


def _pad_mask(mask: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(mask, (width - mask.shape[1], 0))
