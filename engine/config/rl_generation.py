"""Sections of an `rl` config that say what generates on GPUs, and how it gets the weights.

Lives here: the keys, and the flat view of them. Not here: the command of a server
(`vllm_command.py`), the calls to it (`engine/llm/vllm.py`), the hand-over (`engine/train`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from engine.config.section import Section, gpu_only, not_used

if TYPE_CHECKING:
    from engine.config.rl import RlConfig

REFERENCE = "the loss has no reference model, so no server for one is started"
AS_FILES = "weights go to the generator as files, which an unmodified vLLM reads"


class RlTopology(Section):
    """How Synth splits its GPUs."""

    type: str | None = gpu_only(None)
    """Name of the split, such as single_node_split."""
    gpus_for_vllm: int | None = gpu_only(None, ge=0)
    """GPUs that generate; 0: those that train do, in turns."""
    gpus_for_training: int | None = gpu_only(None, ge=0)
    """GPUs that train; one does, whatever is said here."""
    gpus_for_ref: int | None = gpu_only(None, ge=0)
    """GPUs that score with the reference model."""
    tensor_parallel: int | None = gpu_only(None, ge=1)
    """GPUs that share one layer."""


class Vllm(Section):
    """The generator on GPUs."""

    tensor_parallel_size: int | None = gpu_only(None, ge=1)
    """GPUs that share one layer."""
    max_model_len: int | None = gpu_only(None, ge=1)
    """Longest prompt and answer together, in tokens."""
    gpu_memory_utilization: float | None = gpu_only(None, gt=0, le=1)
    """Share of a GPU's memory that vLLM takes; 0.9 of its own one, 0.4 of one that trains too."""
    url: str | None = Field(None, max_length=500)
    """A vLLM server that runs already, such as http://127.0.0.1:8001; it must read this machine's
    files. Without one, a server is started on this machine's GPUs."""
    timeout_s: float = Field(300.0, gt=0, le=36_000)
    """Longest wait for one answer of it."""


class Reference(Section):
    """Synth's server for the reference model."""

    placement: str | None = not_used(None, REFERENCE)
    """Where it runs."""
    port: int | None = not_used(None, REFERENCE, ge=1, le=65_535)
    """Its port."""
    tp: int | None = not_used(None, REFERENCE, ge=1)
    """GPUs that share one layer."""
    health_max_wait_s: float | None = not_used(None, REFERENCE, ge=0)
    """How long Synth waits for it."""
    health_interval_ms: float | None = not_used(None, REFERENCE, ge=0)
    """How often Synth asks for it."""


class WeightSync(Section):
    """How the generator gets the trained weights."""

    enable: bool = gpu_only(True)
    """Whether it gets them while it trains; false: only for evaluations, and it keeps those."""
    targets: list[str] = gpu_only([])
    """Which servers get them; policy is the only one."""
    weight_sync_interval: int | None = gpu_only(None, ge=1)
    """Iterations between two hand-overs."""
    mode: str | None = not_used(None, AS_FILES)
    """How they travel."""
    direct: bool | None = not_used(None, AS_FILES)
    """From GPU to GPU."""
    verify_every_k: int | None = gpu_only(None, ge=0)
    """Compare both sides every so many hand-overs; each one where nothing is said, 0: never."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The flat view. wanted: by vLLM, where it can run; without, the training's process does it.

    n_gpus: those that generate, None: half of them. interval: iterations between two hand-overs,
    None: at the beginning and for evaluations. verify_every: hand-overs, 0: never.
    """

    wanted: bool
    url: str
    tensor_parallel: int
    max_model_len: int | None
    memory_share: float | None
    n_gpus: int | None
    timeout_s: float
    interval: int | None
    verify_every: int


def make_generation(config: RlConfig) -> Generation:
    """By values, not by which keys are given: a frozen config gives all of them."""
    vllm, topology, training = config.vllm, config.topology, config.training
    sync = training.weight_sync
    said = (vllm.url, vllm.tensor_parallel_size, vllm.max_model_len, vllm.gpu_memory_utilization)
    hands_over = sync.enable and "policy" in (sync.targets or ["policy"])
    interval = sync.weight_sync_interval or training.weight_sync_interval or 1
    return Generation(
        wanted=any(said) or bool(topology.gpus_for_vllm),
        url=(vllm.url or "").rstrip("/"),
        tensor_parallel=vllm.tensor_parallel_size or topology.tensor_parallel or 1,
        max_model_len=vllm.max_model_len,
        memory_share=vllm.gpu_memory_utilization,
        n_gpus=topology.gpus_for_vllm,
        timeout_s=vllm.timeout_s,
        interval=interval if hands_over else None,
        verify_every=1 if sync.verify_every_k is None else sync.verify_every_k,
    )
