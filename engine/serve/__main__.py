"""`python -m engine.serve`: models on 127.0.0.1 until the lease, the parent or a signal ends it.

Prints one JSON line {"port", "pid"} on standard output once it answers; everything else goes to
standard error. Environment: SYNTHWEB_SERVE_TOKEN (needed), SYNTHWEB_LEASE_FD and
SYNTHWEB_PARENT_PID as in the engine's lease.

    SYNTHWEB_SERVE_TOKEN=secret python -m engine.serve --model small=DIR --port 8640
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from engine.errors import EngineError
from engine.lease import (
    Cancellation,
    arm_parent_death,
    cancel_on_signal,
    is_supervised,
    watch_lease,
)

TOKEN_VARIABLE = "SYNTHWEB_SERVE_TOKEN"  # noqa: S105  the variable's name, no secret
EXIT_FAILED = 3
DRAIN_S = 5  # open requests get this long after the signal


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop. Exit status: 0 stopped, 3 could not start, 5 lease lost."""
    if is_supervised(os.environ):
        arm_parent_death(os.environ)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: see engine.__main__
    os.environ["HF_HUB_OFFLINE"] = "1"
    options = _parse(arguments)
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        print(f"{TOKEN_VARIABLE} is not set: the server needs a bearer token.", file=sys.stderr)
        return EXIT_FAILED
    stop = Cancellation()
    try:
        watch_lease(os.environ, stop)
        cancel_on_signal(stop)
        with _listen(options.port) as listener:
            asyncio.run(_serve(listener, token, dict(options.model), stop))
    except (EngineError, OSError) as err:
        print(f"the model server cannot start: {err}", file=sys.stderr)
        return EXIT_FAILED
    return 0


async def _serve(
    listener: socket.socket, token: str, models: dict[str, Path], stop: Cancellation
) -> None:
    import uvicorn

    from engine.serve.app import make_app
    from engine.serve.models import Models

    loaded = Models()
    for model_id, path in models.items():
        await loaded.load(model_id, path)
    config = uvicorn.Config(
        make_app(loaded, token),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # type: ignore[assignment]  # `stop` has them already
    stop.on_cancel(partial(setattr, server, "should_exit", True))
    print(json.dumps({"port": listener.getsockname()[1], "pid": os.getpid()}), flush=True)
    try:
        await server.serve(sockets=[listener])
    finally:
        await loaded.close()


def _listen(port: int) -> socket.socket:
    # Only with the protocol named does asyncio turn Nagle off: it costs 40 ms an answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(256)
    return listener


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m engine.serve", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 (default) takes a free port")
    parser.add_argument(
        "--model",
        type=_model,
        action="append",
        default=[],
        metavar="ID=DIR",
        help="a checkpoint folder to load at once; more by POST /load",
    )
    return parser.parse_args(arguments)


def _model(text: str) -> tuple[str, Path]:
    model_id, _, path = text.partition("=")
    if not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not ID=DIR")
    return model_id, Path(path)


if __name__ == "__main__":
    sys.exit(main())
