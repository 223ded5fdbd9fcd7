"""A process that makes what a game begins with, for a server that should stay small.

Lives here: `Apart`, one process for one function. Not here: what it makes. NumPy and Numba, which
a Crafter world needs, are 100 MB that stay, reasoning-gym for Math 90 MB: so they stay in a process
that starts with the first call and ends when for a minute none has come.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Generic, ParamSpec, TypeVar

IDLE_S = 60.0
P = ParamSpec("P")
T = TypeVar("T")


class Apart(Generic[P, T]):
    """A function of a module, called in a process that is started when needed. Any thread may."""

    def __init__(self, function: Callable[P, T]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._end: threading.Timer | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns or raises. Where no process can be had, it runs in this one."""
        pool = self._enter()
        try:
            return pool.submit(self._function, *args, **kwargs).result()
        except (BrokenProcessPool, RuntimeError):  # killed, or closed while we came
            self._close(pool)
            return self._function(*args, **kwargs)

    def _enter(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                context = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(
                    1, mp_context=context, initializer=_end_with_parent
                )
            if self._end is not None:
                self._end.cancel()
            self._end = threading.Timer(IDLE_S, self._close, (self._pool,))
            self._end.daemon = True
            self._end.start()
            return self._pool

    def _close(self, pool: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is pool:
                self._pool = None
        pool.shutdown(wait=False)


def _end_with_parent() -> None:
    """In the new process: Ctrl-C is the server's, and when that is killed nobody waits for us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
