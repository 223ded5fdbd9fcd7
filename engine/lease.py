"""How an engine notices that it must stop: its lease, its parent, a signal.

Lives here: the three ways of stopping, and the switch that carries the wish to whoever works. Not
here: who owns a shard (supervisor and database).

The supervisor holds the write end of a pipe and writes a byte at each renewal of the lease. Silence
or EOF means that another attempt may own the shard by now: the process ends at once, without a
result, so that two attempts never write side by side. A byte `c` asks for an orderly stop.

| environment         | meaning                                                         |
|---------------------|-----------------------------------------------------------------|
| SYNTHWEB_LEASE_FD   | read end of that pipe, inherited; without it there is no lease  |
| SYNTHWEB_LEASE_S    | seconds of silence that end the process (default 30)            |
| SYNTHWEB_PARENT_PID | the supervisor; the process ends when it has another parent     |
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

from engine.errors import Cancelled, ConfigError, LeaseLost

EXIT_LEASE_LOST = 5
SILENCE_S = 30.0
_PR_SET_PDEATHSIG = 1


class Cancellation:
    """A one-way switch. Safe from any thread; setting it twice changes nothing."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []

    def set(self) -> None:
        """Ask the run to stop; calls what waits for it, once."""
        with self._lock:
            callbacks, self._callbacks = self._callbacks, []
            self._event.set()
        for callback in callbacks:
            callback()

    def is_set(self) -> bool:
        """Whether the run was asked to stop."""
        return self._event.is_set()

    def check(self) -> None:
        """Raises Cancelled when the run was asked to stop."""
        if self.is_set():
            raise Cancelled("The run was asked to stop; what it had finished is kept.")

    def wait(self, timeout_s: float) -> bool:
        """Sleep up to `timeout_s`, or until asked to stop; True when asked."""
        return self._event.wait(timeout_s)

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call `callback` (short, from any thread) when it is set; at once when it is already."""
        with self._lock:
            if not self._event.is_set():
                self._callbacks.append(callback)
                return
        callback()


def is_supervised(environment: Mapping[str, str]) -> bool:
    """Whether a supervisor started this process; by hand there is none, and nothing to watch."""
    return "SYNTHWEB_LEASE_FD" in environment or "SYNTHWEB_PARENT_PID" in environment


def arm_parent_death(environment: Mapping[str, str]) -> None:
    """Die with the supervisor (Linux; elsewhere the pipe's EOF does it).

    SIGKILL, since an orderly stop would write a result for a shard that may have a new owner.
    A parent that died before this call is seen by its pid.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    expected = environment.get("SYNTHWEB_PARENT_PID", "")
    if expected and os.getppid() != int(expected):
        os._exit(EXIT_LEASE_LOST)


def lock_directory(directory: Path) -> int:
    """Hold the run's directory until this process ends, so that no two ever write to it.

    Returns the open descriptor; the kernel lets go of it with the process, however that ends.
    Raises LeaseLost when another process holds it, ConfigError when there is no such directory.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as err:
        raise ConfigError(f"{directory} cannot be opened: {err.strerror}.") from err
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        os.close(descriptor)
        raise LeaseLost(f"Another process is running {directory}.") from err
    return descriptor


def watch_lease(environment: Mapping[str, str], cancelled: Cancellation) -> None:
    """Start the thread that reads the lease pipe, if there is one. Raises ConfigError if odd."""
    if "SYNTHWEB_LEASE_FD" not in environment:
        return
    try:
        descriptor = int(environment["SYNTHWEB_LEASE_FD"])
        silence_s = float(environment.get("SYNTHWEB_LEASE_S", SILENCE_S))
        os.set_blocking(descriptor, False)
        os.set_inheritable(descriptor, False)
    except (ValueError, OSError) as err:
        raise ConfigError(f"SYNTHWEB_LEASE_FD or SYNTHWEB_LEASE_S cannot be used: {err}.") from err
    args = (descriptor, silence_s, cancelled)
    threading.Thread(target=_watch, args=args, name="lease", daemon=True).start()


def cancel_on_signal(cancelled: Cancellation) -> None:
    """SIGTERM asks to stop, and so does Ctrl-C; a second Ctrl-C ends at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        # A thread, because the handler may have interrupted the holder of the switch's lock.
        threading.Thread(target=cancelled.set, daemon=True).start()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _watch(descriptor: int, silence_s: float, cancelled: Cancellation) -> None:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN | select.POLLHUP)
    renewed = time.monotonic()
    while True:
        left_s = renewed + silence_s - time.monotonic()
        if not poller.poll(max(0.0, left_s) * 1000):
            os._exit(EXIT_LEASE_LOST)
        said = os.read(descriptor, 4096)
        if not said:
            os._exit(EXIT_LEASE_LOST)
        renewed = time.monotonic()
        if b"c" in said:
            cancelled.set()
