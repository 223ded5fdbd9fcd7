"""From a fresh clone to the first page, and what an idle instance weighs.

`python -m bench.up [--full]`: the quick size starts an installed checkout; `--full` clones into an
empty folder and installs everything first, as a newcomer does (network included).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

from bench.figures import ROOT, Figures
from tests.servers.instance import free_port

LIMIT_S = 300


def serves(url: str) -> bool:
    """Does the login page come?"""
    try:
        with urllib.request.urlopen(f"{url}/login/", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Start:
    """`make up` in a checkout; `seconds` until its first page."""

    def __init__(self, checkout: Path, home: Path) -> None:
        port = free_port()
        began = time.monotonic()
        environment = {**os.environ, "SYNTHWEB_HOME": str(home), "SYNTHWEB_INSTALL_TRAIN": "0"}
        self.process = subprocess.Popen(
            ["make", "-s", "up", f"PORT={port}"],
            cwd=checkout,
            env=environment,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        while not serves(f"http://127.0.0.1:{port}"):
            if time.monotonic() - began > LIMIT_S or self.process.poll() is not None:
                raise RuntimeError("make up brought no page")
            time.sleep(0.05)
        self.seconds = time.monotonic() - began

    def memory_mb(self) -> dict[str, float]:
        """Resident memory of web, worker, ticker and broker, once all have settled."""
        marks = {"synthweb.server": "web", "celery": "worker", "tick": "ticker", "redis": "broker"}
        found: dict[str, float] = {}
        deadline = time.monotonic() + 40
        while len(found) < len(marks) and time.monotonic() < deadline:
            time.sleep(5)  # what has just started still grows
            for child in psutil.Process(self.process.pid).children(recursive=True):
                command = " ".join(child.cmdline())
                sizes = {
                    name: child.memory_info().rss for mark, name in marks.items() if mark in command
                }
                found |= {name: size / 2**20 for name, size in sizes.items()}
        return found

    def stop(self) -> float:
        """Ctrl-C; the seconds until all is down."""
        began = time.monotonic()
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(30)
        return time.monotonic() - began


def main() -> int:
    full = "--full" in sys.argv
    figures = Figures("up", full=full)
    with tempfile.TemporaryDirectory() as folder:
        checkout, home = ROOT, Path(folder) / "home"
        if full:
            checkout = Path(folder) / "clone"
            subprocess.run(["git", "clone", "-q", ROOT, checkout], check=True)
            start = Start(checkout, home)
            figures.add("first page, empty clone", start.seconds, "s", at_most=90)
            start.stop()
        else:
            first = Start(checkout, home)
            figures.add("first page, new home", first.seconds, "s")
            first.stop()
        again = Start(checkout, home)
        figures.add("first page, installed", again.seconds, "s", at_most=10)
        for name, size in sorted(again.memory_mb().items()):
            limit = 100 if name in ("web", "worker") else None
            figures.add(f"{name}: memory", size, "MB", at_most=limit)
        figures.add("Ctrl-C → all down", again.stop(), "s", at_most=20)
    return figures.finish()


if __name__ == "__main__":
    sys.exit(main())
