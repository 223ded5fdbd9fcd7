"""The stand-in for vLLM's server (`vllm_server.py`), in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.servers.instance import free_port
from tests.servers.vllm_server import DEV, LORA
from tests.servers.waiting import wait_until


class Running:
    """A stand-in in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.process, self.url = process, url

    def misbehave(self, *words: str) -> None:
        self._post("/misbehave", {"words": words})

    def reload(self, model: Path) -> None:
        """Serve these weights, whatever a training left."""
        kwargs = {"weights_path": str(model)}
        self._post("/collective_rpc", {"method": "reload_weights", "kwargs": kwargs})
        self._post("/reset_prefix_cache", {})

    def _post(self, path: str, body: Any) -> None:
        urllib.request.urlopen(f"{self.url}{path}", json.dumps(body).encode(), timeout=10).read()

    def get(self, path: str) -> Any:
        return json.loads(urllib.request.urlopen(f"{self.url}{path}", timeout=10).read())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def is_up(url: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(urllib.request.urlopen(f"{url}/health", timeout=2).status == 200)
    return False


@contextlib.contextmanager
def serve_vllm(model: Path, *options: str) -> Iterator[Running]:
    """A stand-in that is allowed everything."""
    port = free_port()
    command = [sys.executable, "-m", "tests.servers.vllm_server", "serve", str(model)]
    given = options or ("--enable-lora", "--logprobs-mode", "processed_logprobs")
    environment = {**os.environ, DEV: "1", LORA: "True", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*command, "--port", str(port), *given], env=environment)
    running = Running(process, f"http://127.0.0.1:{port}")
    try:
        wait_until(lambda: is_up(running.url), "the stand-in for vLLM", 60)
        yield running
    finally:
        running.kill()
