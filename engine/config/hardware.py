"""Sections of trainings that say on which machines they run and how these share the work."""

from __future__ import annotations

from engine.config.section import Section, gpu_only, not_used

CLUSTER = "this is a key of Synth's cluster; here the worker's own machine trains"


class Compute(Section):
    """The cluster that Synth is asked for."""

    gpu_type: str | None = gpu_only(None)
    """Kind of GPU, such as H100."""
    gpu_count: int | None = gpu_only(None, ge=0, le=1024)
    """Number of GPUs."""
    nodes: int | None = gpu_only(None, ge=1, le=1024)
    """Number of machines."""
    ignore_memory: bool = False
    """Launch even what the estimate says cannot fit into memory; it is coarse and errs upwards."""


class Topology(Section):
    """How Synth spreads containers."""

    container_count: int | None = not_used(None, CLUSTER, ge=1)
    """Number of containers."""


class Parallelism(Section):
    """How several GPUs share the work."""

    use_deepspeed: bool | None = gpu_only(None)
    """Use DeepSpeed."""
    deepspeed_stage: int | None = gpu_only(None, ge=0, le=3)
    """What DeepSpeed spreads: 1 optimiser, 2 and gradients, 3 and weights."""
    fsdp: bool | None = gpu_only(None)
    """Use PyTorch's own sharding."""
    bf16: bool | None = gpu_only(None)
    """Compute in bfloat16; a CPU computes in float32."""
    fp16: bool | None = gpu_only(None)
    """Compute in float16; a CPU computes in float32."""
    activation_checkpointing: bool | None = gpu_only(None)
    """Save memory by computing activations twice."""
    tensor_parallel_size: int | None = gpu_only(None, ge=1)
    """GPUs that share one layer."""
    pipeline_parallel_size: int | None = gpu_only(None, ge=1)
    """GPUs that share the stack of layers."""
