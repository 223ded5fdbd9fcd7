"""An ASGI application on a real port, in a thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from starlette.applications import Starlette
from uvicorn import Config

from engine.http.__main__ import Server, listen
from tests.servers.waiting import wait_until


@contextlib.contextmanager
def serve_app(app: Starlette, port: int = 0) -> Iterator[str]:
    """The base URL for as long as the block lasts; the server stops as at a signal."""
    listener = listen("127.0.0.1", port)
    config = Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=5)
    server = Server(config, app)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the server")
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        app.state.runs.end_all()
        server.should_exit = True
        thread.join(10)
