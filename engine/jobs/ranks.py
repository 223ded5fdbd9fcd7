"""One fine-tuning in several processes: `accelerate launch … -m engine.jobs.ranks RUN_DIR`, on a
CPU `torchrun`, which accelerate itself starts for GPUs (it has no launcher for several on a CPU).

Every process does what `engine/jobs/sft.py` does; the first one writes the run's events, the others
none. How they share weights and gradients is accelerate's business (DDP, FSDP, DeepSpeed). Started
by the run's own process on one machine, by hand on several: `import_config --dry-run` prints it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.config.launching import accelerate_command, own_processes, sharding_of
from engine.config.sft import SftConfig
from engine.errors import Cancelled, EngineError, TrainingError
from engine.events import EventWriter
from engine.jobs.job import Job, open_job
from engine.lease import Cancellation, arm_parent_death, cancel_on_signal

MARK = "SYNTHWEB_RANK"  # set for the processes: they must not start others
RESULT = "ranks.json"  # what the first process returned or raised


def is_rank(environment: Mapping[str, str]) -> bool:
    """Whether this process is one of several that accelerate started."""
    return environment.get(MARK) == "1"


def run_ranks(job: Job, config: SftConfig, n_gpus: int) -> dict[str, Any]:
    """Start the processes of this machine, wait for them, return the result of the first.

    Cancel is passed on to all of them. Raises what the first one raised.
    """
    cluster, n_local = own_processes(config, n_gpus)
    sharding = sharding_of(config.hyperparameters.parallelism)
    tail = ["-m", "engine.jobs.ranks", str(job.directory)]
    parallel = config.hyperparameters.parallelism
    command = accelerate_command(cluster, n_local, sharding, parallel, tail)
    job.events.log(f"starting {n_local} processes: {' '.join(command)}")
    (job.directory / RESULT).unlink(missing_ok=True)
    if "torchrun" in command:
        start = command.index("torchrun")
        command = [*command[:start], sys.executable, "-m", "torch.distributed.run",
                   *command[start + 1 :]]  # fmt: skip
    else:
        command = [sys.executable, "-m", "accelerate.commands.launch", *command[2:]]
    process = subprocess.Popen(command, env=_environment())
    job.cancelled.on_cancel(process.terminate)
    code = process.wait()
    job.events = type(job.events)(job.directory)  # the first process has written on
    return _result(job.directory / RESULT, code)


def main() -> int:
    """One of the processes. One that fails ends the others: accelerate stops them."""
    arm_parent_death({})  # accelerate's launcher starts each in a session of its own
    directory, rank = Path(sys.argv[-1]), int(os.environ.get("RANK", "0"))
    cancelled = Cancellation()
    cancel_on_signal(cancelled)
    job = open_job(directory, cancelled)
    if rank:
        job.events = EventWriter(Path(tempfile.mkdtemp(prefix="rank")))
    from engine.jobs.sft import run

    told: dict[str, Any]
    try:
        told = {"values": run(job)}
    except EngineError as err:
        told = {"error": [type(err).__name__, err.code, err.message, err.hint]}
    if rank == 0:
        job.write_file(RESULT, json.dumps(told))
    return 0 if "values" in told or told["error"][0] == "Cancelled" else 3


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SYNTHWEB_LEASE")}
    kept.pop("SYNTHWEB_PARENT_PID", None)  # the launcher is their parent
    return {**kept, MARK: "1", "ACCELERATE_LOG_LEVEL": "error"}


def _result(path: Path, code: int) -> dict[str, Any]:
    if not path.is_file():
        raise TrainingError(
            f"the training processes ended with exit code {code} and without a result",
            hint="The end of their output is in the run's log.",
        )
    told = json.loads(path.read_text())
    if "values" in told:
        values: dict[str, Any] = told["values"]
        return values
    kind, error_code, message, hint = told["error"]
    raise (Cancelled if kind == "Cancelled" else TrainingError)(message, hint=hint, code=error_code)


if __name__ == "__main__":
    sys.exit(main())
