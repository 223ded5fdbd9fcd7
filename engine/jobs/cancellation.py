"""The wish that a run stops: set once, from a signal or the lease pipe, seen by whoever works."""

from __future__ import annotations

import threading
from collections.abc import Callable

from engine.errors import Cancelled


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
