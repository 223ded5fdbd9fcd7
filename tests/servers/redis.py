"""A real Redis (or the wheel's Valkey) on its own socket, which a test may kill and restart."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from synthweb.broker import server_command
from tests.servers.waiting import wait_until


class RedisServer:
    """`url` stays the same over `kill()` and `start()`."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        self.process = subprocess.Popen(server_command(self.socket), stdout=subprocess.DEVNULL)
        wait_until(self.socket.exists, "the broker's socket")

    def kill(self) -> None:
        """SIGKILL, as the kernel does when memory ends."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def serve() -> Iterator[RedisServer]:
    """A server in a short folder: a socket's path has at most 107 bytes."""
    directory = Path(tempfile.mkdtemp(prefix="sw-redis-"))
    server = RedisServer(directory)
    server.start()
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)
