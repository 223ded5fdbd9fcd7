"""The `vllm serve` that a training wants: one command for the dry run, the run and the docs.

Unmodified vLLM, 0.16 or newer. Adapters are loaded at run time, whole weights by `reload_weights`
of its development routes, so both have to be allowed; `--logprobs-mode processed_logprobs` tells
log probabilities at the temperature that was sampled with, `--generation-config vllm` keeps a
checkpoint's own top_k and the like away. Never run on a GPU here: docs/workflows/rl.md.
"""

from __future__ import annotations

from engine.config.rl_generation import Generation
from engine.config.rl_plan import RlPlan

ENVIRONMENT = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # those that --max-lora-rank takes
OWN_SHARE, SHARED_SHARE = 0.9, 0.4  # of a GPU's memory; the rest of a shared one trains


def serve_command(plan: RlPlan, model: str, *, port: str, colocated: bool) -> list[str]:
    """`vllm serve MODEL …`; colocated: on the GPU that trains, asleep meanwhile."""
    wanted: Generation = plan.generation
    share = wanted.memory_share or (SHARED_SHARE if colocated else OWN_SHARE)
    command = ["vllm", "serve", model, "--host", "127.0.0.1", "--port", port]
    command += ["--tensor-parallel-size", str(wanted.tensor_parallel)]
    command += ["--gpu-memory-utilization", f"{share:g}"]
    if wanted.max_model_len:
        command += ["--max-model-len", str(wanted.max_model_len)]
    command += ["--generation-config", "vllm", "--logprobs-mode", "processed_logprobs"]
    if plan.method != "full":
        rank = next((r for r in RANKS if r >= plan.lora.r), plan.lora.r)
        command += ["--enable-lora", "--max-lora-rank", str(rank)]
    if colocated:
        command += ["--enable-sleep-mode"]
    return command


def shown_command(plan: RlPlan, model: str, *, port: str = "8001", colocated: bool = False) -> str:
    """The same with its environment, for a shell."""
    environment = " ".join(f"{name}={value}" for name, value in ENVIRONMENT.items())
    command = serve_command(plan, model, port=port, colocated=colocated)
    return f"{environment} {' '.join(command)}"


def why_not(plan: RlPlan) -> str:
    """Why vLLM cannot generate for this training; "" where it can."""
    if plan.method == "qlora":
        return "qlora trains beside weights in 4 bits, which vLLM does not have: take lora"
    if plan.top_p < 1:
        return (
            f"top_p = {plan.top_p:g}: vLLM tells log probabilities after that cut, the loss needs "
            "those before it: take top_p = 1"
        )
    if plan.lockstep:
        return "training.lockstep repeats bit by bit, which vLLM does not: leave it off"
    return ""
