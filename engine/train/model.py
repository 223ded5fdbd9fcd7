"""The small policy: a Qwen3 of about a million parameters, made from a seed, never downloaded.

Lives here: architecture and loading. The tokenizer is in `tokenizer.py`, files in `checkpoints.py`.
It is a normal Hugging Face causal model: the same code trains and serves Qwen3-4B.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from engine.errors import TrainingError
from engine.train.adapters import attach, is_adapter, merged, weights_folder

CPU_INFO = Path("/proc/cpuinfo")
LARGE_BYTES = 200_000_000  # 50 to 100 M weights
_FORM = "a checkpoint is a folder with config.json, model.safetensors and tokenizer.json"


@dataclass(frozen=True, slots=True)
class Size:
    """Width and depth; the default has about 0.7 M parameters."""

    hidden_size: int = 128
    layers: int = 3
    heads: int = 4
    ffn_size: int = 384
    context: int = 4096


def make_model(tokenizer: PreTrainedTokenizerBase, size: Size, seed: int) -> Qwen3ForCausalLM:
    """Fresh weights, decided by `seed` alone; fp32, tied embeddings."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden_size,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        head_dim=size.hidden_size // size.heads,
        intermediate_size=size.ffn_size,
        max_position_embeddings=size.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen3ForCausalLM(config)
    for name, weight in model.named_parameters():
        if weight.ndim == 2 and "embed" not in name:
            torch.nn.init.normal_(weight, std=hidden_std(size.hidden_size))
    return model


def hidden_std(width: int) -> float:
    """Deviation that keeps the scale of what passes a layer; Qwen's 0.02 is for widths over 1,000.

    At width 128 it learned faster: first action right in 87 % instead of 75 % after 100 steps.
    """
    return float(width**-0.5)


def load_model(path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Whole model (fp32 on CPU, bf16 on a GPU) and tokenizer of a checkpoint's folder.

    An adapter is merged into the weights of its base. Raises TrainingError when the folder is no
    such checkpoint. Safetensors only: never runs code from the folder, never looks elsewhere.
    """
    model = load_weights(weights_folder(path))
    if is_adapter(path):
        model = merged(attach(model, path, trainable=False))
    return model, load_tokenizer(path)


def load_weights(folder: Path, *, four_bit: bool = False, frozen: bool = False) -> PreTrainedModel:
    """The whole weights of a folder, or held in 4 bits (NF4, scales quantised too) for QLoRA.

    frozen: nobody trains them; then a CPU that multiplies bfloat16 holds large ones in that.
    """
    halved = torch.cuda.is_available() or (frozen and not four_bit and _is_faster_halved(folder))
    dtype = torch.bfloat16 if halved else torch.float32
    options: dict[str, Any] = {"quantization_config": _in_four_bits(dtype)} if four_bit else {}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            **options,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as err:
        raise TrainingError(f"{folder.name}: no usable checkpoint: {err}", hint=_FORM) from err
    if four_bit:
        _keep_the_format(model)
    elif torch.cuda.is_available():
        model = model.to("cuda")
    return model


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint's folder. Raises TrainingError."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, RuntimeError) as err:
        raise TrainingError(f"{folder.name}: no usable tokenizer: {err}", hint=_FORM) from err
    return tokenizer


def _is_faster_halved(folder: Path) -> bool:
    """Whether this CPU has matrix units for bfloat16 and the weights are many enough for them.

    Measured with 135 M weights on 2 busy cores: reading a prompt 620 tokens/s instead of 180, a
    step of 8 rows 0.18 s instead of 0.29, training an adapter 42 s a step instead of 61.
    """
    try:
        flags = CPU_INFO.read_text()
    except OSError:  # not Linux
        return False
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return "amx_bf16" in flags and size >= LARGE_BYTES


def _keep_the_format(model: PreTrainedModel) -> None:
    """Keep bitsandbytes from repacking weights when a CPU measures a loss between two steps.

    Its inference format is bfloat16, fails for layers narrower than 64, and training goes on in it.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _in_four_bits(dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
