"""What the processes of one training agree on; in a single process nothing has to be agreed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import distributed


def n_gpus() -> int:
    """GPUs of this machine."""
    return int(torch.cuda.device_count())


def use_gpu(index: int) -> None:
    """Load and train on this one from here on. Call it before a model is loaded."""
    torch.cuda.set_device(index)


def is_shared() -> bool:
    """Whether several processes train together."""
    return bool(distributed.is_available() and distributed.is_initialized())


def is_first() -> bool:
    """Whether this is the process that writes and reports, also before they found each other."""
    rank = distributed.get_rank() if is_shared() else os.environ.get("RANK", "0")
    return int(rank) == 0


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if is_shared():
        distributed.barrier()


def mean_of_all(value: float) -> float:
    """The mean of a figure over all processes."""
    if not is_shared():
        return value
    return _reduced([value], distributed.ReduceOp.SUM)[0] / int(distributed.get_world_size())


def most_of_all(values: Sequence[float]) -> list[float]:
    """The largest of each figure over all processes: what one of them wants, all do."""
    return _reduced(values, distributed.ReduceOp.MAX) if is_shared() else list(values)


def _reduced(values: Sequence[float], how: Any) -> list[float]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shared = torch.tensor(values, dtype=torch.float64, device=device)
    distributed.all_reduce(shared, op=how)
    found: list[float] = shared.tolist()
    return found
