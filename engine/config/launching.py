"""The exact launch of a training: processes, devices, commands, memory, and what cannot fit.

`[compute]`, `[topology]`, `[vllm]` and `[hyperparameters.parallelism]` become `accelerate launch`
with FSDP or DeepSpeed, and vLLM's arguments. What is printed here is what runs (`engine/jobs`).
"""

from __future__ import annotations

from collections.abc import Callable

from engine.config.hardware import Parallelism
from engine.config.launch_plan import Cluster, LaunchPlan
from engine.config.launching_rl import plan_rl
from engine.config.memory import GIB, HELD, Sharding, Work, estimate, gpu_bytes
from engine.config.model_sizes import ModelSize
from engine.config.rl import RlConfig
from engine.config.section import Section
from engine.config.sft import SftConfig

# What `accelerate launch --use_fsdp` sets; it has no launcher for several processes on a CPU.
FSDP_ON_CPU = (
    "ACCELERATE_USE_FSDP=true",
    "FSDP_VERSION=2",
    "FSDP_AUTO_WRAP_POLICY=TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE=FULL_STATE_DICT",
)
NOT_RUN = "not yet run on a GPU: this launch is made as documented, no test has run it there"
SizeOf = Callable[[str], ModelSize | None]


def plan_launch(
    config: Section,
    size_of: SizeOf,
    cluster: Cluster | None = None,
    run_dir: str = "RUN_DIR",
    memory_bytes: int | None = None,
) -> LaunchPlan | None:
    """The launch of a training config on its own or another cluster; None for other kinds.

    memory_bytes: as for `plan_training`.
    """
    if not isinstance(config, SftConfig | RlConfig):
        return None
    size = size_of(config.plan().model)
    return plan_training(config, size, cluster or asked_cluster(config), run_dir, memory_bytes)


def plan_training(
    config: SftConfig | RlConfig,
    size: ModelSize | None,
    there: Cluster,
    run_dir: str = "RUN_DIR",
    memory_bytes: int | None = None,
) -> LaunchPlan:
    """The launch of a training of a model of this size.

    memory_bytes: what the machine has, where it trains without a GPU; None: not known.
    """
    if isinstance(config, SftConfig):
        made = _plan_sft(config, size, there, run_dir)
    else:
        made = plan_rl(config, size, there, run_dir)
    return _judged(made, there, size, memory_bytes)


def own_processes(config: SftConfig, n_gpus: int) -> tuple[Cluster, int]:
    """This machine's part of a fine-tuning: its GPUs, never more than there are, and processes."""
    if not n_gpus:
        return Cluster(1, 0, None), config.training.cpu_processes
    compute = config.compute
    asked = compute.gpu_count or config.hyperparameters.world_size or 1
    n_local = min(n_gpus, max(1, asked // (compute.nodes or 1)))
    return Cluster(1, n_local, compute.gpu_type), n_local


def sharding_of(parallel: Parallelism) -> Sharding:
    """How the processes share weights, gradients and optimiser."""
    if parallel.use_deepspeed:
        stage = 2 if parallel.deepspeed_stage is None else parallel.deepspeed_stage
        stages: tuple[Sharding, ...] = ("none", "zero1", "zero2", "zero3")
        return stages[stage]
    return "fsdp" if parallel.fsdp else "none"


def accelerate_command(
    cluster: Cluster, n_local: int, sharding: Sharding, parallel: Parallelism, tail: list[str]
) -> list[str]:
    """`accelerate launch …` for `n_local` processes on each machine; one process needs none."""
    if n_local * cluster.nodes == 1:
        return ["python", *tail]
    if not cluster.gpus:
        sharded = ["env", *FSDP_ON_CPU] if sharding == "fsdp" else []
        return [*sharded, "torchrun", "--standalone", "--nproc_per_node", str(n_local), *tail]
    command = ["accelerate", "launch", "--num_processes", str(n_local * cluster.nodes)]
    command += ["--num_machines", str(cluster.nodes)]
    if cluster.nodes > 1:
        command += ["--machine_rank", "$RANK", "--main_process_ip", "$MAIN_IP"]
        command += ["--main_process_port", "29500"]
    command += ["--multi_gpu"] if sharding == "none" else []
    command += ["--mixed_precision", "fp16" if parallel.fp16 else "bf16"]
    if sharding == "fsdp":
        command += ["--use_fsdp", "--fsdp_version", "2"]
        command += ["--fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP"]
        command += ["--fsdp_state_dict_type", "FULL_STATE_DICT"]
    elif sharding != "none":
        command += ["--use_deepspeed", "--zero_stage", sharding[-1]]
        command += ["--zero3_save_16bit_model", "true"] if sharding == "zero3" else []
    return [*command, *tail]


def _plan_sft(
    config: SftConfig, size: ModelSize | None, there: Cluster, run_dir: str
) -> LaunchPlan:
    plan, h = config.plan(), config.hyperparameters
    n_local = there.gpus or config.training.cpu_processes
    if there == asked_cluster(config) and there.gpus and h.world_size:
        n_local = max(1, h.world_size // there.nodes)
    sharding = sharding_of(h.parallelism) if n_local * there.nodes > 1 else "none"
    made = LaunchPlan("train", [f"{there}: training"], n_local * there.nodes)
    tail = (
        ["-m", "engine", run_dir] if made.processes == 1 else ["-m", "engine.jobs.ranks", run_dir]
    )
    made.commands = [" ".join(accelerate_command(there, n_local, sharding, h.parallelism, tail))]
    if size is not None:
        work = Work(
            size, plan.method, plan.lora.r, sharding, made.processes, plan.batch_size,
            plan.sequence_length, bool(h.parallelism.activation_checkpointing), not there.gpus,
        )  # fmt: skip
        made.memory = estimate(work)
    if there.nodes > 1:
        made.notes.append(
            "start the command on each machine, RANK counting from 0, on one shared folder"
        )
    if sharding == "zero3" and plan.validation.save_best_model_at_end:
        made.refusals.append(
            "save_best_model_at_end cannot keep weights that DeepSpeed stage 3 shares: take fsdp"
        )
    made.notes.append(
        f"{plan.batch_size} × {plan.gradient_accumulation_steps} × {made.processes} = "
        f"{plan.batch_size * plan.gradient_accumulation_steps * made.processes} records a step"
    )
    return made


def asked_cluster(config: SftConfig | RlConfig) -> Cluster:
    """The cluster that the config asks for."""
    compute = config.compute
    nodes, gpus = compute.nodes or 1, compute.gpu_count or 0
    return Cluster(nodes, -(-gpus // nodes) if gpus else 0, compute.gpu_type)


def _judged(
    made: LaunchPlan, there: Cluster, size: ModelSize | None, memory_bytes: int | None
) -> LaunchPlan:
    """The plan with what is not known about it and whether it fits."""
    made.device_bytes = gpu_bytes(there.gpu_type) if there.gpus else memory_bytes
    if size is None:
        made.notes.append("the size of the model is not known here, so is the memory")
    if there.gpus:
        made.notes.append(NOT_RUN)
    made.too_large = _too_large(made, there)
    made.refusals += [made.too_large] if made.too_large else []
    return made


def _too_large(made: LaunchPlan, there: Cluster) -> str:
    """Why it does not fit, with what to do; "" where it does or nobody knows.

    Without a GPU only what is held throughout counts: records are mostly shorter than the longest.
    """
    parts = made.memory if there.gpus else [p for p in made.memory if p.name in HELD]
    total = sum(part.size_bytes for part in parts) * (1 if there.gpus else made.processes)
    if not made.device_bytes or total <= made.device_bytes:
        return ""
    room = f"{total / GIB:.0f} GiB do not fit into the {made.device_bytes / GIB:.0f} GiB of "
    if not there.gpus:
        return (
            f"{room}this machine for weights, gradients and optimiser: train adapters "
            "(train_kind = lora), a smaller model, or on a machine with a GPU"
        )
    return (
        f"{room}a {there.gpu_type}: take more GPUs with FSDP or DeepSpeed stage 3, adapters "
        "(train_kind = lora), a smaller per_device_batch or sequence_length, or "
        "activation_checkpointing"
    )
