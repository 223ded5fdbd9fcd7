"""The launch of a training from reward: which GPUs generate, which one trains, what both need.

Without vLLM one process does both in turns. With it a server generates: one that runs already
(`vllm.url`), or one that the run starts on its first GPUs (`engine/train/vllm_process.py`).
"""

from __future__ import annotations

from engine.config.launch_plan import Cluster, LaunchPlan
from engine.config.memory import GIB, LARGE_MODEL, Part, Work, estimate, gpu_bytes, kv_cache
from engine.config.model_sizes import ModelSize
from engine.config.rl import RlConfig
from engine.config.rl_plan import RlPlan
from engine.config.vllm_command import OWN_SHARE, SHARED_SHARE, shown_command, why_not

OUR_VOCABULARY = 4096  # words that the tokenizer of a model made here has at most
GENERATED_TOKENS = 4096  # that one game keeps in the cache, where the training's process generates


def plan_rl(config: RlConfig, size: ModelSize | None, there: Cluster, run_dir: str) -> LaunchPlan:
    """Devices, commands and memory; what cannot fit is judged by the caller."""
    plan = config.plan()
    made = LaunchPlan("train", [], 1, [f"python -m engine {run_dir}"])
    if plan.generation.url:
        made.devices = [f"{there}: training", f"{plan.generation.url}: vLLM"]
        made.notes.append(f"vLLM runs already, started as by: {shown_command(plan, plan.model)}")
    elif there.gpus and plan.generation.wanted:
        _share(made, config, there)
    else:
        made.devices = [f"{there}: training and generation in turns, in one process"]
    if there.gpus * there.nodes > 1 and len(made.devices) == 1:
        made.notes.append("one GPU trains and generates; the others stay idle")
    if size is not None:
        made.memory = _memory(plan, size, there, made)
        if len(made.devices) > 1 and there.gpus and not plan.generation.url:
            _judge_generator(made, plan, size, there)
    return made


def _share(made: LaunchPlan, config: RlConfig, there: Cluster) -> None:
    """A server of the run's own: beside the training, or taking turns with it."""
    plan, topology, total = config.plan(), config.topology, there.gpus
    n_vllm = plan.generation.n_gpus
    n_vllm = total // 2 if n_vllm is None else n_vllm
    colocated = total == 1 or n_vllm == 0
    made.commands.insert(0, shown_command(plan, plan.model, port="PORT", colocated=colocated))
    made.notes.append("the run starts and ends vLLM itself; its words go to vllm.log")
    if reason := why_not(plan):
        made.refusals.append(f"vLLM cannot generate for this training: {reason}")
    tensor = plan.generation.tensor_parallel
    if colocated:
        made.devices = ["GPU 0: training and vLLM in turns, which sleeps meanwhile"]
        return
    made.devices = [
        f"GPU 0–{n_vllm - 1}: vLLM, tensor parallel {tensor}",
        f"GPU {n_vllm}: training",
    ]
    n_train, n_ref = topology.gpus_for_training or 1, topology.gpus_for_ref or 0
    if n_train > 1:
        made.notes.append(f"one GPU trains; the other {n_train - 1} for training stay idle")
    if n_ref:
        made.notes.append(f"{n_ref} GPU(s) for a reference stay idle: the loss keeps its own")
    if n_vllm + n_train + n_ref > total:
        made.refusals.append(
            f"{n_vllm} GPUs for vLLM, {n_train} for training and {n_ref} for a reference are more "
            f"than the {total} there are: lower topology.gpus_for_training"
        )
    if n_vllm % tensor:
        made.refusals.append(f"{n_vllm} GPUs for vLLM cannot be shared by {tensor} a layer")


def _memory(plan: RlPlan, size: ModelSize, there: Cluster, made: LaunchPlan) -> list[Part]:
    """Of the device that trains; what computes activations twice: `engine/train/policy.py`."""
    in_process = not plan.generation.url and not any("vLLM" in device for device in made.devices)
    kv = plan.concurrency * GENERATED_TOKENS if in_process else 0
    work = Work(
        size, plan.method, plan.lora.r, "none", 1, plan.micro_batch, _turn_tokens(plan, size),
        recompute=bool(there.gpus) or size.n_params >= LARGE_MODEL, on_cpu=not there.gpus,
        kv_tokens=kv,
    )  # fmt: skip
    parts, room = estimate(work), gpu_bytes(there.gpu_type)
    if not in_process and len(made.devices) == 1 and room:
        share = plan.generation.memory_share or SHARED_SHARE
        parts.append(Part("vLLM", int(share * room), f"{share:g} of the GPU"))
    return parts


def _judge_generator(made: LaunchPlan, plan: RlPlan, size: ModelSize, there: Cluster) -> None:
    """Whether weights and one game fit into a GPU of vLLM's; it queues what does not."""
    tensor, room = plan.generation.tensor_parallel, gpu_bytes(there.gpu_type)
    part = kv_cache(size, plan.generation.max_model_len or GENERATED_TOKENS)
    needed = (size.n_params * 2 + part.size_bytes) / tensor
    made.notes.append(
        f"vLLM wants {needed / GIB:.1f} GiB of each of its GPUs: (P·2 + {part.formula})/{tensor}"
    )
    share = plan.generation.memory_share or OWN_SHARE
    if room and needed > share * room:
        made.refusals.append(
            f"{needed / GIB:.0f} GiB of vLLM do not fit into {share:g} of the {room / GIB:.0f} GiB "
            f"of a {there.gpu_type}: raise vllm.tensor_parallel_size or lower max_model_len"
        )


def _turn_tokens(plan: RlPlan, size: ModelSize) -> int:
    """A turn's prompt and answer. A model made here has words for the task's short prompts; another
    reads them, with the rules and the tools, in about 820 tokens of its own."""
    short = plan.options.get("observation") in (None, "compact") and size.vocab <= OUR_VOCABULARY
    return (256 if short else 1024) + plan.max_tokens
