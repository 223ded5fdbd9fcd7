"""Checks of the machine itself: Python, disk, memory, clock, port, parts for training, GPU."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import psutil
from django.conf import settings

from synthweb import bootstrap, env, train_parts
from synthweb.children import web_answers
from synthweb.doctor.findings import Finding, note, ok, problem
from synthweb.ports import port_is_free

GB = 1024**3
MIN_FREE_GB = 1.0
GOOD_FREE_GB = 5.0
MIN_MEMORY_GB = 3.0
YEAR_2025 = 1735689600


def check_python() -> Finding:
    version = sys.version.split()[0]
    if sys.version_info < bootstrap.MIN_PYTHON:
        return problem("python", version, "Install Python 3.11 or newer and run `make up` again.")
    return ok("python", version)


def check_disk_space() -> Finding:
    free = shutil.disk_usage(settings.SYNTHWEB_HOME).free / GB
    found = f"{free:.1f} GB free in {settings.SYNTHWEB_HOME}"
    if free < MIN_FREE_GB:
        return problem("disk space", found, "Free some, or move SYNTHWEB_HOME to a larger disk.")
    if free < GOOD_FREE_GB:
        return note("disk space", found, "Checkpoints need more: have 5 GB.")
    return ok("disk space", found)


def check_memory() -> Finding:
    total = psutil.virtual_memory().total / GB
    if total < MIN_MEMORY_GB:
        return note("memory", f"{total:.1f} GB", "Training the small model wants 3 GB.")
    return ok("memory", f"{total:.1f} GB, {os.cpu_count()} CPUs")


def check_clock() -> Finding:
    """Leases on SQLite compare this clock; certificates and keys need the right year."""
    if time.time() < YEAR_2025:
        return problem("clock", time.ctime(), "Set the clock: leases and keys depend on it.")
    return ok("clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))


def check_port() -> Finding:
    where = f"{settings.HOST}:{settings.PORT}"
    if port_is_free(settings.HOST, settings.PORT):
        return ok("port", f"{where} is free")
    if web_answers():
        return ok("port", f"{where} is served by synthweb")
    return problem(
        "port", f"{where} is taken by another program", f"make up PORT={settings.PORT + 10}"
    )


def check_threads() -> Finding:
    """Spinning OpenMP threads of a training starve everything else on a small machine."""
    policy = env.text("OMP_WAIT_POLICY")
    if policy.upper() == "ACTIVE":
        return note("threads", "OMP_WAIT_POLICY=ACTIVE", "unset OMP_WAIT_POLICY")
    return ok("threads", f"OMP_NUM_THREADS={env.text('OMP_NUM_THREADS', 'not set')}")


def check_training_packages() -> Finding:
    status = train_parts.read_status()
    if status["state"] == "ready":
        return ok("training packages", f"installed, torch {train_parts.TORCH}")
    if status["state"] == "installing":
        return note(
            "training packages", f"{status['percent']} %: {status['step']}", "Wait a minute."
        )
    mend = status["error"] or "make up installs them in the background."
    return note("training packages", status["state"], mend)


def check_torch() -> Finding:
    """In a process of its own: torch never enters this one."""
    code = (
        "import torch; on = 'a GPU' if torch.cuda.is_available() else 'the CPU'; "
        "print(f'{torch.__version__} on {on}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode == 0:
        return ok("torch", done.stdout.strip())
    if "No module named 'torch'" in done.stderr:
        return note("torch", "not installed", "make up installs it in the background.")
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return problem("torch", last, "rm .venv/.installed-train, then make up installs it again.")


def check_gpu() -> Finding:
    if not shutil.which("nvidia-smi"):
        return ok("gpu", "none; everything runs on the CPU")
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        return note("gpu", "nvidia-smi fails", "Mend the driver, or go on without a GPU.")
    return ok("gpu", "; ".join(done.stdout.strip().splitlines()))


MACHINE_CHECKS = (
    check_python,
    check_disk_space,
    check_memory,
    check_clock,
    check_port,
    check_threads,
    check_training_packages,
    check_torch,
    check_gpu,
)
