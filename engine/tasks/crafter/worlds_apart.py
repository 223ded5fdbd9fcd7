"""New worlds in a process of their own: the noise brings NumPy and Numba, 100 MB that stay.

Lives here: where worlds are made for a server that should stay small. Not here: making one
(`worldgen.py`), keeping it (`store.py`). The process starts with the first unknown seed and ends
when for a minute none has come.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from engine.tasks.crafter.store import make_world

IDLE_S = 60.0


class _Maker:
    """The process, started when it is needed. Any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._end: threading.Timer | None = None

    def make(self, seed: int, difficulty: str) -> bytes:
        """The snapshot of a fresh world. Where no process can be had, it is made in this one."""
        pool = self._enter()
        try:
            return pool.submit(make_world, seed, difficulty).result()
        except (BrokenProcessPool, RuntimeError):  # killed, or closed while we came
            self._close(pool)
            return make_world(seed, difficulty)

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


make_world_apart = _Maker().make
