"""How much memory of a device a training needs, part by part, each with its formula.

P: weights of the model, A: those of the adapters, n: devices that share. A coarse estimate, made to
refuse what cannot fit; not yet compared with a GPU.
Sources: activations 34·b·s·h bytes a layer, Korthikanti et al. 2022 (arXiv:2205.05198) without the
attention scores, which flash attention never stores; ZeRO stages, Rajbhandari et al. 2019
(arXiv:1910.02054).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from engine.config.model_sizes import ModelSize

GIB = 2**30
CONTEXT_BYTES = GIB  # CUDA's own, kernels and fragments
LARGE_MODEL = 50_000_000  # weights: from here on RL computes activations twice on a CPU too
HELD = ("weights", "gradients", "optimiser")  # in memory from the first step to the last
Sharding = Literal["none", "fsdp", "zero1", "zero2", "zero3"]
GPU_GIB = {"H100": 80, "H200": 141, "B200": 180, "A100": 80, "A10": 24, "L4": 24, "L40": 48,
           "T4": 16, "V100": 32, "RTX4090": 24, "RTX3090": 24}  # fmt: skip


class Part(NamedTuple):
    """One use of a device's memory."""

    name: str
    size_bytes: int
    formula: str


@dataclass(frozen=True, slots=True)
class Work:
    """What is trained, on how many devices. `kv_tokens`: tokens that generate on the same one."""

    size: ModelSize
    method: Literal["full", "lora", "qlora"]
    rank: int
    sharding: Sharding
    n_devices: int
    batch: int
    tokens: int  # of the longest record
    recompute: bool
    on_cpu: bool = False
    kv_tokens: int = 0


def estimate(work: Work) -> list[Part]:
    """The parts of one device's memory, weights first."""
    n = work.n_devices
    split = {"none": (1, 1, 1), "zero1": (1, 1, n), "zero2": (1, n, n)}.get(
        work.sharding, (n, n, n)
    )
    parts = [*_held(work, split), *_activations(work)]
    if work.kv_tokens:
        parts.append(kv_cache(work.size, work.kv_tokens, 4 if work.on_cpu else 2))
    if not work.on_cpu:
        parts.append(Part("context", CONTEXT_BYTES, "1 GiB"))
    return parts


def _held(work: Work, split: tuple[int, int, int]) -> list[Part]:
    """Weights, gradients and the optimiser's two moments; ZeRO adds a copy in 32 bits."""
    width, size = (4 if work.on_cpu else 2), work.size
    n, (of_weights, of_gradients, of_optimiser) = size.n_params, split
    if work.method == "full":
        trained, per, word = n, "P", width
    else:
        trained, per, word = size.n_adapter_params(work.rank), "A", 4
    zero = work.sharding.startswith("zero")
    moments = 12 if zero else 2 * word
    frozen = 0.56 if work.method == "qlora" else width
    weights = n * frozen / of_weights + (0 if work.method == "full" else trained * word)
    more = "" if work.method == "full" else f" + A·{word}"
    return [
        Part("weights", int(weights), f"P·{frozen:g}/{of_weights}{more}"),
        Part("gradients", trained * word // of_gradients, f"{per}·{word}/{of_gradients}"),
        Part("optimiser", trained * moments // of_optimiser, f"{per}·{moments}/{of_optimiser}"),
    ]


def _activations(work: Work) -> list[Part]:
    size, here = work.size, work.batch * work.tokens
    layer = 34 * here * size.hidden * (2 if work.on_cpu else 1)
    if work.recompute:
        stored, formula = layer + size.layers * here * size.hidden * 2, "34·b·s·h + layers·2·b·s·h"
    else:
        stored, formula = layer * size.layers, "layers·34·b·s·h"
    if work.on_cpu:
        formula += " (·2 in 32 bits)"
    logits = here * size.vocab * 8
    return [Part("activations", stored, formula), Part("logits", logits, "8·b·s·vocab")]


def kv_cache(size: ModelSize, tokens: int, width: int = 2) -> Part:
    """Keys and values of `tokens` tokens."""
    n_bytes = 2 * size.layers * size.kv_heads * size.head_dim * width * tokens
    return Part("KV cache", n_bytes, f"2·layers·kv_heads·head_dim·{width}·{tokens} tokens")


def gpu_bytes(gpu_type: str | None) -> int | None:
    """Memory of a kind of GPU, None for one that is not known."""
    name = (gpu_type or "").upper().replace("-", "").replace(" ", "").replace("NVIDIA", "")
    names = sorted(GPU_GIB, key=len, reverse=True)
    return next((GPU_GIB[known] * GIB for known in names if name.startswith(known)), None)
