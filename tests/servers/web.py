"""The real ASGI application on a real port, in a thread: it shares the test's database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from synthweb.http_protocol import Protocol
from synthweb.server import Server, listen
from tests.servers.instance import free_port
from tests.servers.waiting import wait_until


class WebServer:
    """`url`, `port`; `stop()` ends it as SIGTERM would and returns the seconds it took to end."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        config = uvicorn.Config(
            "synthweb.asgi:application",
            http=Protocol,
            lifespan="on",
            log_config=None,
            timeout_graceful_shutdown=5,
        )
        self.server = Server(config)
        self._listener = listen("127.0.0.1", port)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        wait_until(lambda: self.server.started, "uvicorn")

    def _run(self) -> None:
        self.server.run(sockets=[self._listener])

    def stop(self) -> None:
        """End as the signal handler does, and wait."""
        self.server.handle_exit(15, None)
        self.server.force_exit = False
        self._thread.join(10)
        assert not self._thread.is_alive(), "the web did not stop"


@contextmanager
def serve(port: int | None = None) -> Iterator[WebServer]:
    """Serve until the block ends."""
    server = WebServer(port or free_port())
    try:
        yield server
    finally:
        if server._thread.is_alive():
            server.stop()
