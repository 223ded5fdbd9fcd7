"""Weights that several processes share out (FSDP): turning it on without GPUs, and gathering them.

Accelerate 1.15 starts FSDP for accelerators only, though PyTorch's `fully_shard` works over gloo;
what a CPU trains sharded goes the very way that GPUs go, so tests can walk it. Not here: how
processes are started (`engine/config/launching.py`), what they agree on (`processes.py`).
"""

from __future__ import annotations

from typing import Any

from accelerate import Accelerator, PartialState
from accelerate.utils import (
    DistributedType,
    FullyShardedDataParallelPlugin,
    parse_flag_from_env,
)
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.distributed.fsdp import FSDPModule

from engine.train.processes import is_first


def shard_on_cpu(accelerator: Accelerator) -> bool:
    """Let `accelerator` share weights among CPU processes, where the launch asked for it.

    Returns whether it does. On GPUs accelerate has seen to it already.
    """
    state = accelerator.state
    asked = parse_flag_from_env("ACCELERATE_USE_FSDP")
    if not asked or state.distributed_type != DistributedType.MULTI_CPU:
        return False
    state.fsdp_plugin = FullyShardedDataParallelPlugin()  # as the launch's environment says
    # In both: every AcceleratorState() that is made later copies what the other one says.
    state.distributed_type = PartialState().distributed_type = DistributedType.FSDP
    return True


def is_sharded(model: Any) -> bool:
    return any(isinstance(module, FSDPModule) for module in model.modules())


def whole_weights(model: Any) -> dict[str, Tensor] | None:
    """All weights in one process: the first one's; None elsewhere, and where none are shared out.

    Every process has to call it.
    """
    if not is_sharded(model):
        return None
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights = get_model_state_dict(model, options=options)
    # Gathered, tied weights are copies of each other: one name is kept, as in any checkpoint.
    names = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
    return {k: v for k, v in weights.items() if k in names} if is_first() else None


def final_weights(trainer: Any) -> dict[str, Tensor] | None:
    """The same after a training, DeepSpeed's included (as accelerate documents it; not run)."""
    if not trainer.is_deepspeed_enabled:
        return whole_weights(trainer.model)
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    return weights if is_first() else None


def give_weights(model: Any, weights: dict[str, Tensor]) -> None:
    """Put whole weights into a model, shared out or not; every process has them and calls it."""
    if not is_sharded(model):
        model.load_state_dict(weights, strict=False)
        return
    set_model_state_dict(
        model, weights, options=StateDictOptions(full_state_dict=True, strict=False)
    )
