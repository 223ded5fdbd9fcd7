"""An engine as a child process: its environment, its start, its end.

`setsid` makes it the leader of a group, so that what it starts itself ends with it. It dies with
us in three ways: the parent-death signal, EOF on the lease pipe, and its silence.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from django.conf import settings

STDOUT, STDERR = "stdout.log", "stderr.log"
KEPT = frozenset(
    (
        *("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
        *("VIRTUAL_ENV", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "XDG_CACHE_HOME"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR"),
    )
)
KEPT_PREFIXES = ("CUDA_", "NVIDIA_", "NCCL_", "TORCH_", "NUMBA_", "HF_HOME", "HIP_", "ROCM_")


def child_environment(lease_fd: int, extra: Mapping[str, str]) -> dict[str, str]:
    """What an engine may see: no secret of ours but the keys in `extra`."""
    kept = {k: v for k, v in os.environ.items() if k in KEPT or k.startswith(KEPT_PREFIXES)}
    return {
        **kept,
        "PYTHONPATH": str(settings.BASE_DIR),
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "TQDM_DISABLE": "1",  # nobody watches: its stderr is for what goes wrong
        "SYNTHWEB_LEASE_FD": str(lease_fd),
        "SYNTHWEB_LEASE_S": str(settings.LEASE_SECONDS),
        "SYNTHWEB_PARENT_PID": str(os.getpid()),
        "SYNTHWEB_MATH_PROBLEMS": settings.MATH_PROBLEMS,
        **extra,
    }


class Child:
    """One running engine. Must be made and ended by the same long-lived thread."""

    def __init__(
        self, arguments: Sequence[str], directory: Path, lease_fd: int, extra: Mapping[str, str]
    ) -> None:
        self.killed = False  # whether we did it
        self._asked_at: float | None = None
        self._stderr = directory / STDERR
        with (directory / STDOUT).open("ab") as stdout, self._stderr.open("ab") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=settings.BASE_DIR,
                env=child_environment(lease_fd, extra),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                pass_fds=(lease_fd,),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, timeout_s: float) -> int | None:
        """The exit code (negative: the signal), or None if it still runs after `timeout_s`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout_s)
        return None

    def ask_to_stop(self) -> None:
        """SIGTERM, once: an orderly stop that keeps what is finished."""
        if self._asked_at is None:
            self._asked_at = time.monotonic()
            self._signal(signal.SIGTERM)

    def overdue(self, grace_s: float) -> bool:
        """Whether it was asked to stop more than `grace_s` ago."""
        return self._asked_at is not None and time.monotonic() - self._asked_at > grace_s

    def kill(self) -> None:
        """SIGKILL to the whole group, and wait for it. Safe twice."""
        if self._process.poll() is None:
            self.killed = True
        self._signal(signal.SIGKILL)
        self._process.wait()

    def stderr_tail(self, limit: int = 4096) -> str:
        """The end of what it wrote to stderr."""
        try:
            with self._stderr.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - limit))
                return file.read().decode(errors="replace").strip()
        except FileNotFoundError:
            return ""

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
