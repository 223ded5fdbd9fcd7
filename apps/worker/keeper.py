"""The thread that keeps a lease: renews it, tells the child, and notices what changed.

A thread of its own, because storing a large file may take longer than a lease.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from apps.runs.services import Lease

log = logging.getLogger(__name__)

CHECK_S = 1.0
RENEWED, CANCEL = b".", b"c"


class LeaseKeeper:
    """Keeps one lease from `with` to its end. `cancel` and `lost` say what was found.

    `write_fd` is the pipe whose other end the child reads: a byte a renewal, silence or EOF when
    the lease is gone. While the database is away nothing is renewed, and the child ends by itself
    before another attempt can start.
    """

    def __init__(self, renew: Callable[[], Lease], check: Callable[[], Lease]) -> None:
        self.read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)
        self.cancel = threading.Event()
        self.lost = threading.Event()
        self.away = False  # whether a renewal failed for want of the database
        self._renew, self._check = renew, check
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._end.set()
        self._thread.join()
        self._close()
        os.close(self.read_fd)

    def tell(self, byte: bytes) -> None:
        """Write one byte to the child; a full or closed pipe is no error."""
        with self._lock, contextlib.suppress(OSError):
            if self._write_fd >= 0:
                os.write(self._write_fd, byte)

    def _close(self) -> None:
        with self._lock:
            if self._write_fd >= 0:
                os.close(self._write_fd)
                self._write_fd = -1

    def _keep(self) -> None:
        renew_at = time.monotonic() + settings.RENEW_SECONDS
        pause_s = min(CHECK_S, settings.RENEW_SECONDS / 3)
        try:
            while not self._end.wait(pause_s):
                due = time.monotonic() >= renew_at
                found = self._ask(due)
                if found is Lease.LOST:
                    self.lost.set()
                    self._close()
                    return
                if due and found is not None:
                    renew_at = time.monotonic() + settings.RENEW_SECONDS
                    self.tell(RENEWED)
                if found is Lease.CANCEL:
                    self.cancel.set()
        finally:
            connection.close()

    def _ask(self, due: bool) -> Lease | None:
        """Renew or look; None while the database is away."""
        try:
            return self._renew() if due else self._check()
        except (DatabaseError, InterfaceError) as err:
            log.warning("a lease cannot be kept, the database is away: %s", err)
            self.away = True
            connection.close()
            return None
