"""The web process: uvicorn with an end that streams notice. `python -m synthweb.server`.

uvicorn waits for open responses before it stops; `handle_exit` ends the streams first, so that
200 open pages do not hold the process up.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import gc
import os
import signal
import socket
import sys
from types import FrameType

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "synthweb.settings")

import uvicorn
from django.conf import settings

from synthweb.http_protocol import Protocol

DRAIN_S = 10
# Threads that draw pages give way to the event loop after this; it waits at each of its turns.
SWITCH_S = 0.001


class Server(uvicorn.Server):
    """uvicorn's server, ending the streams at the first signal."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        from synthweb.streams.hub import hub

        hub.end_all()
        super().handle_exit(sig, frame)


def main() -> int:
    """Serve until told to stop; the exit code is 1 when the address is taken."""
    config = uvicorn.Config(
        "synthweb.asgi:application",
        host=settings.HOST,
        port=settings.PORT,
        loop="asyncio",
        http=Protocol,
        lifespan="on",
        log_level=settings.LOG_LEVEL.lower(),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.TRUSTED_PROXIES),
        forwarded_allow_ips=settings.TRUSTED_PROXIES,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=DRAIN_S,
    )
    try:
        listener = listen(settings.HOST, settings.PORT)
    except OSError as err:
        print(f"{settings.HOST}:{settings.PORT} cannot be served: {err}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    sys.setswitchinterval(SWITCH_S)
    load_pages()
    Server(config).run(sockets=[listener])
    return 0


def load_pages() -> None:
    """Import everything that answers, then give back what compiling it took.

    The first start of a fresh clone compiles all modules: 10 MB of free memory stay with the
    process otherwise.
    """
    import synthweb.asgi
    import synthweb.urls  # noqa: F401

    gc.collect()
    gc.freeze()  # what was imported stays: no collection need look at it again
    trim = getattr(ctypes.CDLL(ctypes.util.find_library("c")), "malloc_trim", None)
    if trim:  # glibc's
        trim(0)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError when the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named asyncio turns Nagle off on what it accepts; otherwise every answer
    # of two segments waits 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(1024)
    listener.set_inheritable(True)
    return listener


if __name__ == "__main__":
    sys.exit(main())
