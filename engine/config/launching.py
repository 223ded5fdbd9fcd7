"""The exact launch of a training: processes, devices, commands, memory, and what cannot fit.

`[compute]`, `[topology]`, `[vllm]` and `[hyperparameters.parallelism]` become `accelerate launch`
with FSDP or DeepSpeed, and vLLM's arguments. What is printed here is what runs (`engine/jobs`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.config.hardware import Parallelism
from engine.config.memory import GIB, HELD, Part, Sharding, Work, estimate, gpu_bytes, kv_cache
from engine.config.model_sizes import ModelSize
from engine.config.rl import RlConfig
from engine.config.rl_plan import RlPlan
from engine.config.section import Section
from engine.config.sft import SftConfig

NOT_RUN = "not yet run on a GPU: this launch is made as documented, no test has run it there"
SizeOf = Callable[[str], ModelSize | None]


class Cluster(NamedTuple):
    """Machines that a training may use; no GPU means one CPU."""

    nodes: int
    gpus: int  # of each
    gpu_type: str | None

    def __str__(self) -> str:
        if not self.gpus:
            return "CPU"
        return f"{self.nodes} × {self.gpus} {self.gpu_type or 'GPU'}"


@dataclass
class LaunchPlan:
    """What a launch would start. `refusals` say why it cannot."""

    queue: str  # the Celery queue whose worker starts it
    devices: list[str] = field(default_factory=list)
    processes: int = 1
    commands: list[str] = field(default_factory=list)
    memory: list[Part] = field(default_factory=list)
    device_bytes: int | None = None
    too_large: str = ""  # the refusal that is about memory
    notes: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The plan as people read it."""
        total = sum(part.size_bytes for part in self.memory)
        shown = [f"queue {self.queue}, {self.processes} training process(es)", *self.devices]
        shown += [f"$ {command}" for command in self.commands]
        shown += [f"{p.name:12} {p.size_bytes / GIB:9.3f} GiB  = {p.formula}" for p in self.memory]
        if self.memory:
            room = f" of {self.device_bytes / GIB:.0f} GiB" if self.device_bytes else ""
            shown.append(f"{'a device':12} {total / GIB:9.3f} GiB{room}")
        shown += [f"note: {note}" for note in self.notes]
        return shown + [f"cannot run: {refusal}" for refusal in self.refusals]


def read_cluster(text: str, gpu_type: str | None = None) -> Cluster:
    """`"8"`, `"2x8"`, `"2x8 H100"`, `"cpu"`. Raises ValueError."""
    words = text.strip().lower()
    if words == "cpu":
        return Cluster(1, 0, None)
    match = re.fullmatch(r"(?:(\d{1,4})\s*[x×]\s*)?(\d{1,4})(?:\s+([\w-]+))?", words)
    if not match or int(match[2]) < 1 or int(match[1] or 1) < 1:
        raise ValueError(f"{text!r} is no number of GPUs: write 1, 8, 2x8, 2x8 H100 or cpu.")
    return Cluster(int(match[1] or 1), int(match[2]), (match[3] or gpu_type or "").upper() or None)


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
        made = _plan_rl(config, size, there, run_dir)
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
        return ["torchrun", "--standalone", "--nproc_per_node", str(n_local), *tail]
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
    made.notes.append(
        f"{plan.batch_size} × {plan.gradient_accumulation_steps} × {made.processes} = "
        f"{plan.batch_size * plan.gradient_accumulation_steps * made.processes} records a step"
    )
    return made


def _plan_rl(config: RlConfig, size: ModelSize | None, there: Cluster, run_dir: str) -> LaunchPlan:
    plan, topology = config.plan(), config.topology
    total = there.gpus * there.nodes
    n_vllm = topology.gpus_for_vllm if topology.gpus_for_vllm is not None else total // 2
    n_train = topology.gpus_for_training or max(total - n_vllm, 1)
    made = LaunchPlan("train", [], 1)
    if not there.gpus or total == 1:
        made.devices = [f"{there}: training and generation in turns, in one process"]
        made.commands = [f"python -m engine {run_dir}"]
        kv = plan.concurrency * 4096
    else:
        kv = 0
        _split(made, config, (n_vllm, n_train, total), run_dir)
    if size is not None:
        work = Work(
            size, plan.method, plan.lora.r, "none", max(made.processes, 1), plan.micro_batch,
            _turn_tokens(plan),
            recompute=False, on_cpu=not there.gpus, kv_tokens=kv,
        )  # fmt: skip
        made.memory = estimate(work)
        if made.processes > 1 and config.vllm.max_model_len:
            made.notes.append(_of_vllm(size, config, config.vllm.max_model_len))
    return made


def _turn_tokens(plan: RlPlan) -> int:
    """A turn's prompt, as the tasks here write them in words of a large tokenizer, and answer."""
    prompt = 256 if plan.options.get("observation") in (None, "compact") else 1024
    return prompt + plan.max_tokens


def _split(made: LaunchPlan, config: RlConfig, gpus: tuple[int, int, int], run_dir: str) -> None:
    """Generation on some GPUs, training on others."""
    n_vllm, n_train, total = gpus
    n_ref = config.topology.gpus_for_ref or 0
    tensor = config.vllm.tensor_parallel_size or config.topology.tensor_parallel or 1
    made.processes = n_train
    made.devices = [
        f"GPU 0–{n_vllm - 1}: vLLM, tensor parallel {tensor}",
        f"GPU {n_vllm}–{n_vllm + n_train - 1}: training",
    ]
    vllm = ["vllm", "serve", config.plan().model, "--tensor-parallel-size", str(tensor)]
    if config.vllm.max_model_len:
        vllm += ["--max-model-len", str(config.vllm.max_model_len)]
    if config.plan().method != "full":
        vllm += ["--enable-lora", "--max-lora-rank", str(config.plan().lora.r)]
    cluster = Cluster(1, n_train, None)
    tail = ["-m", "engine.jobs.ranks", run_dir]
    train = accelerate_command(cluster, n_train, "none", Parallelism(), tail)
    made.commands = [" ".join(vllm), " ".join(train)]
    if n_ref:
        made.notes.append(f"{n_ref} GPU(s) for a reference stay idle: the loss keeps its own")
    if n_vllm + n_train + n_ref > total:
        made.refusals.append(
            f"{n_vllm} GPUs for vLLM, {n_train} for training and {n_ref} for a reference are more "
            f"than the {total} there are: lower topology.gpus_for_training"
        )
    if n_vllm and n_vllm % tensor:
        made.refusals.append(f"{n_vllm} GPUs for vLLM cannot be shared by {tensor} a layer")
    made.refusals.append(
        "reinforcement learning trains and generates in one process so far: use one GPU"
    )


def _of_vllm(size: ModelSize, config: RlConfig, length: int) -> str:
    tokens = length * config.plan().concurrency
    part = kv_cache(size, tokens)
    weights = size.n_params * 2
    whole = (part.size_bytes + weights) / GIB
    return f"vLLM wants {whole:.1f} GiB over its GPUs: P·2 + {part.formula}"


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
