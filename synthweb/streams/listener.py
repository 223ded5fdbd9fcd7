"""Waiting for doorbells: one Redis subscription, which comes back by itself after an outage."""

from __future__ import annotations

import queue
import threading
import time

import redis

from synthweb import bell

EVERYTHING = "pages:all"  # what pages are told while the broker is away
SILENT_REFRESH_S = 3.0
RETRY_S = 0.5
LOOK_UP_S = 1.0  # how often the subscription looks whether it is still wanted


class Listener:
    """Collects the names that were rung. `wait` is called by one thread."""

    def __init__(self) -> None:
        self._rung: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._connected = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._refreshed = time.monotonic()

    def interrupt(self) -> None:
        """Make the current or the next `wait` return at once."""
        self._rung.put("")

    def close(self) -> None:
        """End the subscription; the current `wait` returns."""
        self._closed.set()
        self.interrupt()

    def wait(self, timeout_s: float) -> set[str]:
        """The names rung since the last call; empty after `timeout_s` without any.

        While the broker is away pages are told every few seconds that anything may have changed.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._listen, name="bell", daemon=True)
            self._thread.start()
        names: set[str] = set()
        try:
            names.add(self._rung.get(timeout=timeout_s))
            while True:
                names.add(self._rung.get_nowait())
        except queue.Empty:
            pass
        if not self._connected.is_set() and time.monotonic() - self._refreshed > SILENT_REFRESH_S:
            self._refreshed = time.monotonic()
            names.add(EVERYTHING)
        return names - {""}

    def _listen(self) -> None:
        """Subscribe until closed: a lost connection is tried again, then everything is read."""
        lost = False
        while not self._closed.is_set():
            try:
                with bell.connect() as client, client.pubsub() as subscription:
                    subscription.subscribe(bell.CHANNEL)
                    self._connected.set()
                    if lost:
                        self._rung.put(EVERYTHING)
                    self._pass_on(subscription)
            except (redis.RedisError, OSError):
                lost = True
                self._connected.clear()
                self._closed.wait(RETRY_S)

    def _pass_on(self, subscription: redis.client.PubSub) -> None:
        while not self._closed.is_set():
            message = subscription.get_message(timeout=LOOK_UP_S)
            if message is not None and message["type"] == "message":
                self._rung.put(message["data"].decode())
