"""`python -m engine.http`: serve task apps in the foreground; keys come from the environment.

python -m engine.http --task grpo-crafter --port 8001 [--host H] [--trace-db FILE]
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from engine.errors import EngineError
from engine.http.app import make_app
from engine.http.settings import read_settings
from engine.tasks import task_names

DRAIN_S = 8


class Server(uvicorn.Server):
    """uvicorn's server; at the first signal rollouts end and answer with what was played."""

    def __init__(self, config: uvicorn.Config, app: Starlette) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._app.state.runs.end_all()
        super().handle_exit(sig, frame)


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; 1 when the task, the file or the address cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m engine.http", description=__doc__)
    parser.add_argument("--task", action="append", help="a task app; the first also at the root")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--trace-db", type=Path, help="tracing v3 file to write episodes to")
    options = parser.parse_args(arguments)
    try:
        settings = read_settings(
            os.environ, tasks=options.task or task_names(), trace_db=options.trace_db
        )
        app = make_app(settings)
        listener = listen(options.host, options.port)
    except EngineError as err:
        return _fail(f"{err.message} {err.hint}".strip())
    except OSError as err:
        return _fail(f"{options.host}:{options.port} cannot be served: {err}")
    serve(app, listener)
    return 0


def serve(app: Starlette, listener: socket.socket) -> None:
    """Answer on a listening socket until SIGINT or SIGTERM."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=DRAIN_S,
    )
    Server(config, app).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError when the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named asyncio turns Nagle off on what it accepts.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(1024)
    return listener


def _fail(words: str) -> int:
    print(words, file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
