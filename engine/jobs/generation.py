"""Who generates for an rl run: its own process, a vLLM server named in the config, or one that it
starts on this machine's GPUs.

inputs.vllm: {"url", "address", "key_env"}, where the config names a server; the key is read from
the environment by name. How weights get there: `engine/train/samplers.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config.rl_plan import RlPlan
from engine.config.vllm_command import shown_command, why_not
from engine.errors import ConfigError
from engine.jobs.job import Job
from engine.llm.vllm import VllmAddress

if TYPE_CHECKING:
    from engine.train.policy import TrainedPolicy
    from engine.train.samplers import Sampler
    from engine.train.vllm_process import Places

WEIGHTS = "generator"  # folder below the attempt's directory, of what is handed over


def choose_gpus(job: Job, plan: RlPlan) -> Places | None:
    """The GPUs of a server that this run starts, with its own GPU taken; None: it starts none.

    Call it before the model is loaded. Raises ConfigError, TrainingError.
    """
    from engine.train.processes import n_gpus, use_gpu
    from engine.train.vllm_process import is_installed, share_gpus

    wanted = plan.generation
    if not wanted.wanted or (not wanted.url and not n_gpus()):
        return None
    if reason := why_not(plan):
        raise ConfigError(f"vLLM cannot generate for this training: {reason}.")
    if wanted.url:
        return None
    if not is_installed():
        job.events.log(
            "vLLM is not installed here: the training's own process generates, which is slower. "
            "pip install vllm beside torch to change that.",
            "warning",
        )
        return None
    places = share_gpus(plan, n_gpus(), os.environ)
    use_gpu(places.training)
    return places


@contextmanager
def open_sampler(
    job: Job, plan: RlPlan, trained: TrainedPolicy, base: Path, places: Places | None
) -> Iterator[Sampler]:
    """What generates, for as long as the block lasts. Raises TrainingError, ConfigError."""
    from engine.train.adapters import weights_folder
    from engine.train.samplers import OwnSampler, VllmSampler
    from engine.train.vllm_process import VllmProcess

    folder = job.directory / WEIGHTS
    if places is not None:
        server = VllmProcess(plan, weights_folder(base), job.directory, places, job.cancelled)
        job.events.log(
            f"starting vLLM on GPU {','.join(places.vllm)}"
            + (", where the training takes turns with it" if places.colocated else "")
        )
        with server:
            sampler = VllmSampler(
                plan, trained, server.address, folder, job.cancelled, colocated=places.colocated
            )
            with closing(sampler):
                yield sampler
    elif plan.generation.url:
        address = _address(job, plan, weights_folder(base))
        job.events.log(f"The vLLM server at {address.url} generates.")
        with closing(VllmSampler(plan, trained, address, folder, job.cancelled)) as sampler:
            yield sampler
    else:
        yield OwnSampler(trained)


def _address(job: Job, plan: RlPlan, model: Path) -> VllmAddress:
    """Where the config's server is, and how it would be started."""
    spec: dict[str, Any] = job.inputs.get("vllm") or {"url": plan.generation.url}
    variable = str(spec.get("key_env") or "")
    if variable and variable not in os.environ:
        raise ConfigError(
            f"A key for {spec['url']} is missing: {variable} is not set.",
            hint="Launch the run again, or set it when you run this by hand.",
        )
    return VllmAddress(
        str(spec["url"]).rstrip("/"),
        key=os.environ.get(variable, ""),
        address=str(spec.get("address") or ""),
        timeout_s=plan.generation.timeout_s,
        start_hint=f"Start it, such as by: {shown_command(plan, str(model))}",
    )
