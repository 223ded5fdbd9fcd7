"""What this worker process is: its name, its slots by need, and whether it is stopping."""

from __future__ import annotations

import importlib
import os
import secrets
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec

from django.conf import settings

TRAINING_PACKAGES = ("torch", "transformers", "trl")
WORKER_NAME = f"{socket.gethostname()[:80]}:{os.getpid()}:{secrets.token_hex(3)}"

stopping = threading.Event()
"""Set once when the worker is asked to stop; whoever holds something hands it back."""


class Slots:
    """Counts what runs at once, by need. Safe from any thread."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = dict(sizes)
        self.changed = threading.Event()
        self._busy = dict.fromkeys(sizes, 0)
        self._lock = threading.Lock()

    @property
    def busy(self) -> dict[str, int]:
        """How many slots of each need are taken."""
        with self._lock:
            return dict(self._busy)

    @contextmanager
    def take(self, need: str) -> Iterator[bool]:
        """Hold a slot within the block; yields False when none is free, without waiting."""
        with self._lock:
            got = self._busy.get(need, 0) < self.sizes.get(need, 0)
            if got:
                self._busy[need] += 1
        self.changed.set()
        try:
            yield got
        finally:
            if got:
                with self._lock:
                    self._busy[need] -= 1
                self.changed.set()


slots = Slots(settings.SLOTS)


def can_train() -> bool:
    """Whether the training packages are installed; they may arrive while the worker runs."""
    importlib.invalidate_caches()
    return all(find_spec(name) is not None for name in TRAINING_PACKAGES)


def needs_packages(need: str) -> bool:
    """Whether a need asks for the training packages."""
    return need in ("train", "serve")
