"""What this machine is and which code runs on it: part of what a launch freezes."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from django.conf import settings

from engine.config import Machine

_GPUS = Path("/proc/driver/nvidia/gpus")


@cache
def this_machine() -> Machine:
    """GPUs, CPU cores and memory of the machine that launches, without importing torch."""
    names = sorted(_GPUS.iterdir()) if _GPUS.is_dir() else []
    return Machine(
        len(names), tuple(path.name for path in names), os.cpu_count() or 1, _memory_bytes()
    )


@cache
def code_version() -> str:
    """The commit of the checkout, "+" behind it when files differ; else the installed version."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        pass
    try:
        return version("synthweb")
    except PackageNotFoundError:
        return "unknown"


def _memory_bytes() -> int | None:
    """All of the machine's memory; None where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=5,
        check=True,
    )
    return done.stdout.strip()
