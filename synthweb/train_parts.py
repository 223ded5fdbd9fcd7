"""Installing what training needs, in the background, with progress that the home page shows.

torch comes first and outside the hashed lock: the CPU and CUDA builds of one version have different
hashes. Without a GPU: `torch==X+cpu` from the configured indexes, then from PyTorch's CPU index,
else the plain build, whose size is said. Then requirements/train.lock.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypedDict

from synthweb import bootstrap, env

TORCH = "2.13.0"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PLAIN_SIZE = "about 3 GB with its CUDA libraries"
ATTEMPTS = 3
PAUSE_S = 10.0


class Status(TypedDict):
    """`state`: missing | installing | ready | failed; `percent` 0-100; `error` says what to do."""

    state: str
    step: str
    percent: int
    error: str
    updated_at: float


def home() -> Path:
    return env.path("SYNTHWEB_HOME", bootstrap.ROOT / "var")


def status_path() -> Path:
    return home() / "run" / "train-install.json"


def read_status() -> Status:
    """How far the installation is. Written atomically, so never half of it."""
    if is_ready():
        return Status(state="ready", step="", percent=100, error="", updated_at=time.time())
    try:
        status: Status = json.loads(status_path().read_text())
    except (OSError, ValueError):
        return Status(state="missing", step="", percent=0, error="", updated_at=0.0)
    if status["state"] == "ready":  # written for another lock
        status["state"] = "missing"
    return status


def is_ready() -> bool:
    """Are torch and this very train lock installed?"""
    return bootstrap.stamp_is_right("train")


def write_status(state: str, step: str, percent: int, error: str = "") -> None:
    """Say how far it is, for pages and people."""
    status = Status(state=state, step=step, percent=percent, error=error, updated_at=time.time())
    path = status_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staged = path.with_suffix(f".{os.getpid()}")
    staged.write_text(json.dumps(status))
    staged.replace(path)
    print(f"{percent:3d} % {state} {step} {error}".rstrip(), flush=True)


def install_with_progress() -> None:
    """Install torch and the train lock unless they are there; raises SetupError at last."""
    for attempt in range(1, ATTEMPTS + 1):
        if is_ready():
            break
        try:
            with bootstrap.one_at_a_time():
                bootstrap.ensure_venv()
                _install()
        except bootstrap.SetupError as err:
            write_status("failed", "", 0, str(err))
            if attempt == ATTEMPTS:
                raise
            time.sleep(PAUSE_S * attempt)
    write_status("ready", "", 100)


def _install() -> None:
    write_status("installing", f"torch {TORCH}", 2)
    if not torch_is_installed():
        install_torch()
    total = bootstrap.count_packages("train")
    write_status("installing", f"{total} packages for training", 40)
    _install_lock(total)
    write_status("installing", "checking torch", 97)
    if not torch_is_installed():
        raise bootstrap.SetupError("torch was installed but cannot be imported: make doctor")
    bootstrap.write_stamp("train")


def has_gpu() -> bool:
    """Is there an NVIDIA GPU that a CUDA build of torch could use?"""
    return Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None


def torch_is_installed() -> bool:
    """Does the right version import in the venv?"""
    code = f"import torch; assert torch.__version__.split('+')[0] == '{TORCH}'"
    done = subprocess.run([bootstrap.PYTHON, "-c", code], capture_output=True, check=False)
    return done.returncode == 0


def torch_requests() -> Iterable[tuple[str, list[str]]]:
    """What to ask pip for, in order: a sentence for people and the arguments."""
    if platform.system() == "Linux" and not has_gpu():
        yield f"torch {TORCH} for CPU", [f"torch=={TORCH}+cpu"]
        cpu = ["--index-url", CPU_INDEX, f"torch=={TORCH}+cpu"]
        yield f"torch {TORCH} for CPU, from PyTorch's own index", cpu
        yield f"torch {TORCH}, the plain build: {PLAIN_SIZE}", [f"torch=={TORCH}"]
    else:
        yield f"torch {TORCH}", [f"torch=={TORCH}"]


def install_torch() -> None:
    """Try one source after the other. Only the plain Linux build needs torch's own dependencies.

    The others' dependencies stand in the train lock, with hashes.
    """
    failures = []
    for step, arguments in torch_requests():
        write_status("installing", step, 5)
        plain = arguments == [f"torch=={TORCH}"]
        try:
            bootstrap.run_pip(["--no-compile", *([] if plain else ["--no-deps"]), *arguments])
        except bootstrap.SetupError as err:
            failures.append(str(err))
            continue
        return
    raise bootstrap.SetupError("torch could not be installed.\n" + "\n".join(failures[-1:]))


def _install_lock(total: int) -> None:
    """Install the train lock, counting pip's lines into 40-95 percent."""
    command = [str(bootstrap.PYTHON), "-m", "pip", "install", "--disable-pip-version-check"]
    _follow(
        [*command, *bootstrap.lock_arguments("train")],
        lambda seen: write_status(
            "installing",
            f"packages for training ({min(seen, total)} of {total})",
            40 + min(55, 55 * seen // total),
        ),
    )


def _follow(command: list[str], on_count: Callable[[int], None]) -> None:
    """Run pip and call `on_count` at each package that it takes up."""
    seen, tail = 0, [""]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as pip:
        for line in pip.stdout or ():
            tail = [*tail[-8:], line.rstrip()]
            if line.startswith(("Collecting", "Requirement already")):
                seen += 1
                on_count(seen)
    if pip.returncode:
        raise bootstrap.SetupError(
            "The training packages could not be installed:\n" + "\n".join(tail)
        )


if __name__ == "__main__":
    sys.exit(bootstrap.main(["train"]))
