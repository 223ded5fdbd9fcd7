"""Turns: few requests at once work on Python's one lock, however many threads stand ready.

Threads that compute beside each other in one interpreter hand its lock to and fro; measured with
four readers and 200 streams: 112 pages/s and 17 ms from write to client with two at once, 82 and
32 with six (`python -m bench.streams`; on a local Postgres 97 and 21 ms, 103 and 29). A request
that waits for something else (a download, an upload, another server) keeps its turn for 0.1 s only.
Where the database is far away, pages wait for it too: SYNTHWEB_PAGES_AT_ONCE lets more in.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from django.conf import settings

TURN_S = 0.1


class Turns:
    """Who may work now, in order of arrival; of one event loop at a time (`open`)."""

    def __init__(self) -> None:
        self.open()

    def open(self) -> None:
        """Begin anew, on whatever event loop asks first."""
        self._free = asyncio.Semaphore(settings.PAGES_AT_ONCE)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn; it is over with the block, or after TURN_S."""
        free, held = self._free, [True]
        await free.acquire()

        def give_back() -> None:
            if held:
                held.clear()
                free.release()

        timer = asyncio.get_running_loop().call_later(TURN_S, give_back)
        try:
            yield
        finally:
            timer.cancel()
            give_back()
