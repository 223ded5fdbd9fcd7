"""How large a model is, from its `config.json` or, by id, from a table of families we know.

Only what memory is estimated from; weights are never looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Decoder of the Llama kind. ffn: width of one expert where there are several."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    tied: bool
    experts: int = 1

    @property
    def n_params(self) -> int:
        """Weights without norms and biases, which are below one in a thousand."""
        attention = self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads)
        ffn = 3 * self.hidden * self.ffn * self.experts
        router = self.hidden * self.experts if self.experts > 1 else 0
        embeddings = self.vocab * self.hidden * (1 if self.tied else 2)
        return self.layers * (attention + ffn + router) + embeddings

    def n_adapter_params(self, rank: int) -> int:
        """Weights of adapters on all linear layers."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = (self.hidden + q) * 2 + (self.hidden + kv) * 2
        return rank * self.layers * (attention + 3 * (self.hidden + self.ffn) * self.experts)


def _qwen3(hidden: int, layers: int, heads: int, ffn: int, *, tied: bool) -> ModelSize:
    return ModelSize(hidden, layers, heads, 8, 128, ffn, 151_936, tied)


KNOWN: dict[str, ModelSize] = {
    "Qwen/Qwen3-0.6B": _qwen3(1024, 28, 16, 3072, tied=True),
    "Qwen/Qwen3-1.7B": _qwen3(2048, 28, 16, 6144, tied=True),
    "Qwen/Qwen3-4B": _qwen3(2560, 36, 32, 9728, tied=True),
    "Qwen/Qwen3-8B": _qwen3(4096, 36, 32, 12_288, tied=False),
    "Qwen/Qwen3-14B": _qwen3(5120, 40, 40, 17_408, tied=False),
    "Qwen/Qwen3-32B": _qwen3(5120, 64, 64, 25_600, tied=False),
    "Qwen/Qwen3-30B-A3B": ModelSize(2048, 48, 32, 4, 128, 768, 151_936, False, 128),
}


def size_by_id(model: str) -> ModelSize | None:
    """The size of a known base, also where the id is that of something trained from it."""
    return next((size for name, size in KNOWN.items() if name in model.split(":")), None)


def size_of_config(raw: dict[str, Any]) -> ModelSize | None:
    """The size that a checkpoint's `config.json` tells; None where it tells none."""
    try:
        heads, hidden = int(raw["num_attention_heads"]), int(raw["hidden_size"])
        return ModelSize(
            hidden=hidden,
            layers=int(raw["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(raw.get("num_key_value_heads") or heads),
            head_dim=int(raw.get("head_dim") or hidden // heads),
            ffn=int(raw.get("moe_intermediate_size") or raw["intermediate_size"]),
            vocab=int(raw["vocab_size"]),
            tied=bool(raw.get("tie_word_embeddings", False)),
            experts=int(raw.get("num_experts") or 1),
        )
    except (ValueError, KeyError, TypeError):
        return None
