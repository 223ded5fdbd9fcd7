"""Our own task app as others start it: `manage.py serve_task_app` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from synthweb.bootstrap import ROOT
from tests.servers.instance import free_port
from tests.servers.waiting import wait_until


@contextmanager
def own_task_app(home: Path, *, task: str, key: str, allow: Sequence[str]) -> Iterator[str]:
    """Its URL; stopped at the end. allow: the host:port pairs that its rollouts may ask."""
    port, log = free_port(), home / "task_app.log"
    environment = {
        **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
        "SYNTHWEB_HOME": str(home / "own"),
        "SYNTHWEB_ALLOW_HOSTS": ",".join(allow),
        "ENVIRONMENT_API_KEY": key,
    }
    command = [sys.executable, "manage.py", "serve_task_app", task, "--port", str(port), "--trace"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(url, process), f"{url}; see {log}", 30)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "it ended at once"
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
