"""A vLLM server of this training's own, on GPUs of this machine, for as long as it trains.

Split: vLLM has the first GPUs for itself, training takes the next one. Colocated (one GPU, or
`topology.gpus_for_vllm = 0`): both share it and vLLM sleeps while weights change. Started as
`engine/config/vllm_command.py` says; its words go to `vllm.log` beside the run's events.
Not yet run on a GPU: tests start a stand-in that takes the same command.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from engine.config.rl_plan import RlPlan
from engine.config.vllm_command import ENVIRONMENT, serve_command
from engine.errors import TrainingError
from engine.lease import Cancellation
from engine.llm.vllm import VllmAddress, VllmClient

START_S = 1200.0  # loading and compiling a large model takes minutes
LOOK_S = 1.0
LOG_TAIL_BYTES = 2000
LOG = "vllm.log"


class Places(NamedTuple):
    """GPUs by their names in CUDA_VISIBLE_DEVICES; `training` counts among those that this process
    sees."""

    vllm: tuple[str, ...]
    training: int
    colocated: bool


def share_gpus(plan: RlPlan, n_gpus: int, environment: Mapping[str, str]) -> Places:
    """Which GPUs generate and which one trains. Raises TrainingError where there are too few."""
    given = environment.get("CUDA_VISIBLE_DEVICES", "")
    names = given.split(",") if given else [str(index) for index in range(n_gpus)]
    wanted = plan.generation.n_gpus
    n_vllm = n_gpus // 2 if wanted is None else wanted
    if n_gpus == 1 or n_vllm == 0:
        return Places(tuple(names[: plan.generation.tensor_parallel]), 0, True)
    if n_vllm >= n_gpus:
        raise TrainingError(
            f"topology.gpus_for_vllm = {n_vllm} leaves none of this machine's {n_gpus} GPUs to "
            "train on",
            hint="Lower it; 0 lets vLLM and the training take turns on one.",
        )
    return Places(tuple(names[:n_vllm]), n_vllm, False)


@dataclass
class VllmProcess:
    """The server. Use as a context: it ends with the block, and with this process."""

    plan: RlPlan
    model: Path
    folder: Path
    places: Places
    cancelled: Cancellation

    def __enter__(self) -> Self:
        """Start it and wait until it answers. Raises TrainingError, Cancelled."""
        port = _free_port()
        command = serve_command(
            self.plan, str(self.model), port=str(port), colocated=self.places.colocated
        )
        self.command = " ".join(command)
        self.address = VllmAddress(
            f"http://127.0.0.1:{port}",
            timeout_s=self.plan.generation.timeout_s,
            start_hint=f"The training starts it; it may have ended: {LOG} beside its events tells.",
        )
        environment = {**os.environ, **ENVIRONMENT}
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(self.places.vllm)
        with (self.folder / LOG).open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            self._wait()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _wait(self) -> None:
        end = time.monotonic() + START_S
        while not asyncio.run(_is_up(self.address)):
            if self.process.poll() is not None or time.monotonic() > end:
                raise self._failed()
            self.cancelled.wait(LOOK_S)
            self.cancelled.check()

    def _failed(self) -> TrainingError:
        code = self.process.poll()
        how = f"was not ready after {START_S:g} s" if code is None else f"ended with code {code}"
        tail = (self.folder / LOG).read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        return TrainingError(
            f"{self.command}: it {how}. The end of its log:\n{tail}",
            hint="Lower vllm.gpu_memory_utilization or max_model_len if memory ran out; without a "
            "[vllm] section the training's process generates.",
            code="vllm_start",
        )

    def _stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def is_installed() -> bool:
    """Whether there is a `vllm` to start."""
    return shutil.which("vllm") is not None


async def _is_up(server: VllmAddress) -> bool:
    client = VllmClient(server)
    try:
        return await client.is_up()
    finally:
        client.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
