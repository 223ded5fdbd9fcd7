"""Where played episodes are kept: a tracing v3 file, written before the answer goes out.

A trace that could not be written is an error of the rollout (503), never a silent loss.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine.traces.v3.session import Session
from engine.traces.v3.writer import TraceDb


class Keeper:
    """Writes sessions one after the other in a thread; without a path it keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._db = TraceDb(path) if path else None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="traces")

    async def keep(self, session: Session) -> None:
        """Store a session whole. Raises StorageError."""
        if self._db is not None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, self._db.write, session)

    def close(self) -> None:
        """Wait for what is being written, then put everything into the file itself."""
        self._thread.shutdown(wait=True)
        if self._db is not None:
            self._db.close()
