"""The model that reinforcement learning trains: all its weights, or an adapter around them."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any, NamedTuple

import torch

from engine.config.memory import LARGE_MODEL
from engine.config.sft import Lora, Method
from engine.train.adapters import attach, is_adapter, weights_folder
from engine.train.model import load_model, load_tokenizer, load_weights

_M_MMAP_THRESHOLD = -3  # malloc.h


class TrainedPolicy(NamedTuple):
    model: Any
    tokenizer: Any


def load_policy(
    base: Path, method: Method, lora: Lora, resume: Path | None, *, seed: int = 0
) -> TrainedPolicy:
    """The model as `method` trains it, from a checkpoint's folder.

    resume: a checkpoint of the same training, whose weights take the place of the base's.
    seed: of a new adapter's first weights; the caller's generator goes on from there.
    An adapter as base: `full` trains the merged weights, the others go on with the adapter.
    Raises TrainingError.
    """
    if method == "full":
        model, tokenizer = load_model(resume or base)
        return TrainedPolicy(save_memory(model), tokenizer)
    model = load_weights(weights_folder(base), four_bit=method == "qlora")
    if method == "qlora":
        from peft import prepare_model_for_kbit_training

        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    going_on = resume or (base if is_adapter(base) else None)
    if going_on is not None:
        model = attach(model, going_on, trainable=True)
        return TrainedPolicy(save_memory(model), load_tokenizer(base))
    from peft import LoraConfig, get_peft_model

    adapter = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(seed)
    model = get_peft_model(model, adapter)
    return TrainedPolicy(save_memory(model), load_tokenizer(base))


def save_memory(model: Any, *, anywhere: bool = False) -> Any:
    """On a GPU, and of a large model anywhere, compute activations twice instead of keeping them:
    of whole batches of turns they would take more than weights and optimiser (SmolLM2-135M, 16
    turns of 860 tokens on a CPU: 33 GB). Generation is not affected.

    anywhere: of a small model on a CPU too, where it only costs time.
    """
    large = model.num_parameters() >= LARGE_MODEL
    if anywhere or large or model.device.type == "cuda":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if large and model.device.type == "cpu":
        _give_back_at_once()
    return model


def _give_back_at_once() -> None:
    """Let blocks from 1 MiB on go back to the system when they are freed (glibc; no effect
    elsewhere): between layers its heap kept more than the activations that were no longer there.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**20)
