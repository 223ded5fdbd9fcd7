"""What an engine takes of this machine: processor and memory, looked up now and then in /proc.

Cheap on purpose: one look in EVERY_S, a millisecond or two. Elsewhere than on Linux nothing is
measured. How the values are kept: `apps/runs/ingest/metrics.py`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

EVERY_S = 5.0
CPU, MEMORY = "system.cpu_percent", "system.memory_mb"  # 100 per cent are one core; 10^6 bytes


class Sampler:
    """Looks at a child and all that it started: the processes of its session."""

    def __init__(self, session: int, every_s: float = EVERY_S) -> None:
        self.session, self.every_s = session, every_s
        self._at = time.monotonic()
        self._ticks = _usage(session)[0]

    def sample(self) -> dict[str, float] | None:
        """The mean processor use since the last sample and the memory now; None: not due yet."""
        passed = time.monotonic() - self._at
        if passed < self.every_s:
            return None
        ticks, pages = _usage(self.session)
        used = max(0, ticks - self._ticks) / os.sysconf("SC_CLK_TCK")
        self._at, self._ticks = self._at + passed, ticks
        if not pages:  # it is gone, or there is no /proc
            return None
        memory = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        return {CPU: round(100 * used / passed, 1), MEMORY: round(memory, 1)}


def _usage(session: int) -> tuple[int, int]:
    """Clock ticks used so far and pages resident, over the processes of a session."""
    ticks = pages = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[3]) == session:
            ticks += int(fields[11]) + int(fields[12])
            pages += int(fields[21])
    return ticks, pages
