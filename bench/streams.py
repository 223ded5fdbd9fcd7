"""200 open live pages, events written beside them, and how many pages a second still come.

`python -m bench.streams [--full] [--postgres]`: a real instance (supervisor, broker, web, worker,
ticker) in a temporary home; clients, writer and servers share this machine's cores. `--full`
measures longer.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import psutil

from bench.figures import Figures
from tests.servers import postgres
from tests.servers.instance import Instance

N_STREAMS = 200
EVENTS_PER_S = 10
N_READERS = 4
PAGE = "/runs/"


class Target:
    """Where to connect and as whom."""

    def __init__(self, instance: Instance, cookie: str, run_id: int) -> None:
        self.port, self.cookie, self.run_id = instance.port, cookie, run_id

    def request(self, path: str, accept: str = "text/html") -> bytes:
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAccept: {accept}\r\n"
        return f"{head}Cookie: {self.cookie}\r\n\r\n".encode()


async def listen(target: Target, delays_ms: list[float]) -> None:
    """One open page: note for each event how long it took from its row to here."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=2**20)
    writer.write(target.request(f"/stream/?topic=run:{target.run_id}", "text/event-stream"))
    try:
        while line := await reader.readline():
            if line.startswith(b"data: "):
                at = datetime.fromisoformat(json.loads(line[6:])["at"]).timestamp()
                delays_ms.append((time.time() - at) * 1000)
    finally:
        writer.close()


async def read_pages(target: Target, until: float, times_ms: list[float]) -> None:
    """One visitor who asks for page after page on a kept connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    while time.monotonic() < until:
        began = time.monotonic()
        writer.write(target.request(PAGE))
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{PAGE} answered {head[:60]!r}")
        length = re.search(rb"content-length: (\d+)", head.lower())
        await reader.readexactly(int(length[1]) if length else 0)
        times_ms.append((time.monotonic() - began) * 1000)
    writer.close()


PREPARE = """
from django.conf import settings
from django.test import Client
from apps.accounts.models import User
client = Client()
client.force_login(User.objects.get())
name = settings.SESSION_COOKIE_NAME
print(f"{name}={client.cookies[name].value}")
"""

WRITE = """
import time
from apps.runs import services
from apps.runs.models import Run
run, end = Run.objects.get(), time.monotonic() + {seconds}
while time.monotonic() < end:
    services.add_event(run, "log", {{"level": "info", "message": "tick"}})
    time.sleep({pause})
"""


async def measure(
    instance: Instance, target: Target, seconds: float
) -> tuple[list[float], list[float], list[float]]:
    """Pages without streams, pages beside them, and the events' delays."""
    idle: list[float] = []
    busy: list[float] = []
    delays: list[float] = []
    end = time.monotonic() + seconds
    await asyncio.gather(*(read_pages(target, end, idle) for _ in range(N_READERS)))
    streams = [asyncio.create_task(listen(target, delays)) for _ in range(N_STREAMS)]
    await asyncio.sleep(2)
    code = WRITE.format(seconds=seconds, pause=1 / EVENTS_PER_S)
    writer = asyncio.to_thread(instance.manage, "shell", "--no-imports", "-c", code)
    end = time.monotonic() + seconds
    await asyncio.gather(writer, *(read_pages(target, end, busy) for _ in range(N_READERS)))
    await asyncio.sleep(1)
    for stream in streams:
        stream.cancel()
    return idle, busy, delays


def prepare(instance: Instance) -> Target:
    """A session and a run that is over in the instance's database."""
    cookie = instance.manage("shell", "--no-imports", "-c", PREPARE).stdout.split()[-1]
    return Target(instance, cookie, instance.start_noop(n_steps=1, step_s=0.0))


def memory_mb(pid: int) -> float:
    """Resident memory."""
    return float(psutil.Process(pid).memory_info().rss) / 2**20


def main() -> int:
    full = "--full" in sys.argv
    seconds = 30.0 if full else 6.0
    figures = Figures("streams", full=full)
    kind = "Postgres" if "--postgres" in sys.argv else "SQLite"
    with tempfile.TemporaryDirectory() as home, postgres.database(kind) as environment:
        instance = Instance(Path(home), environment)
        instance.start()
        try:
            target = prepare(instance)
            idle, busy, delays = asyncio.run(measure(instance, target, seconds))
            memory = memory_mb(instance.children()["web"])
            began = time.monotonic()
            instance.stop()
            stopped = time.monotonic() - began
        finally:
            instance.stop()
    figures.add("pages/s without streams", len(idle) / seconds, "1/s")
    figures.add("pages/s beside 200 streams", len(busy) / seconds, "1/s", at_least=100)
    figures.add("page p95 beside 200 streams", quantile(busy, 95), "ms", at_most=150)
    figures.add("events delivered", len(delays) / N_STREAMS, "a stream")
    figures.add("write → client, median", statistics.median(delays), "ms", at_most=25)
    figures.add("write → client, p95", quantile(delays, 95), "ms", at_most=1000)
    figures.add("web memory after it", memory, "MB", at_most=100)
    figures.add("SIGTERM → all down", stopped, "s", at_most=20)
    return figures.finish()


def quantile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


if __name__ == "__main__":
    sys.exit(main())
