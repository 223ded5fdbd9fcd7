"""A whole synthweb for a test: the real supervisor with all its children, in a home of its own."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from synthweb import credentials
from synthweb.bootstrap import ROOT
from synthweb.ports import port_is_free
from tests.servers.waiting import wait_until

NOOP = """
from apps.accounts.models import Project, User
from apps.runs import services
run = services.create_run(
    project=Project.objects.get(), user=User.objects.get(), kind="noop", name="noop", config=None,
    resolved={resolved}, inputs={{}},
    shards=[services.ShardPlan(need="rollout", episodes=[], total={n_steps})],
)
services.queue_run(run=run)
print(run.pk)
"""


def free_port() -> int:
    """A port that nobody uses now, below those that the kernel gives to outgoing connections."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        if port_is_free("127.0.0.1", port):
            return port


# A pipeline of two small evaluations.
TWO_STAGES = """
type = "pipeline"
name = "two"
[stages.first]
config = {type = "eval", provider = "builtin", model = "random", seeds = "0..2", max_turns = 5}
[stages.second]
after = ["first"]
config = {type = "eval", provider = "builtin", model = "guide", seeds = "0..2", max_turns = 5}
[table]
rows = ["first", "second"]
"""


class Instance:
    """`url user password api_key home`; `call()` asks the API, `manage()` runs a command."""

    def __init__(self, home: Path, extra: Mapping[str, str]) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        kept = {k: v for k, v in os.environ.items() if k not in ("DJANGO_SETTINGS_MODULE",)}
        self.environment = {
            **kept,
            "SYNTHWEB_HOME": str(home),
            "PORT": str(self.port),
            "TASK_APP_PORT": str(free_port()),
            "SYNTHWEB_INSTALL_TRAIN": "0",
            "SYNTHWEB_TICK_SECONDS": "1",
            **extra,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        """Set up (once) and start the supervisor; returns when the pages answer."""
        self.manage("setup_instance")
        known = credentials.read(self.home)
        self.user, self.password = known["SYNTHWEB_USER"], known["SYNTHWEB_PASSWORD"]
        self.api_key = known["SYNTH_API_KEY"]
        with (self.home / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "synthweb.up"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if wait:
            wait_until(self.answers, f"{self.url}; see {self.home}/up.log", 60)

    def stop(self, signum: int = signal.SIGINT) -> int:
        """Send the supervisor a signal and give its exit code back."""
        if self.process is None:
            return 0
        self.process.send_signal(signum)
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.process = None
        return code

    def answers(self) -> bool:
        """Does the web answer?"""
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `manage.py ARGUMENTS` in this home."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0 or not check, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def start_noop(self, *, n_steps: int, step_s: float) -> int:
        """Queue a run that only counts (no page or API may launch one); its id."""
        code = NOOP.format(resolved={"n_steps": n_steps, "step_s": step_s}, n_steps=n_steps)
        return int(self.manage("shell", "--no-imports", "-c", code).stdout.split()[-1])

    def state_of(self, run_id: int) -> str:
        """A run's state as the API tells it."""
        return str(self.call("GET", f"/api/v1/runs/{run_id}")["state"])

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call `/api/v1` with the key; the JSON answer. Raises urllib's HTTPError from 400 on."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={
                "Authorization": f"Bearer {self.api_key}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def children(self) -> dict[str, int]:
        """Pids of the supervisor's children by name: broker, web, task-app, worker, ticker."""
        marks = {"redis": "broker", "valkey": "broker", "synthweb.server": "web"}
        marks |= {"celery": "worker", "tick": "ticker", "engine.http": "task-app"}
        found = {}
        for pid, command in processes_under(self.process.pid if self.process else 0):
            for mark, name in marks.items():
                if mark in command:
                    found[name] = pid
        return found


def processes_under(pid: int) -> list[tuple[int, str]]:
    """The living children of a process: pid and command line."""
    import psutil

    try:
        children = psutil.Process(pid).children(recursive=False)
        return [
            (child.pid, " ".join(child.cmdline()))
            for child in children
            if child.status() != psutil.STATUS_ZOMBIE
        ]
    except psutil.NoSuchProcess:
        return []


@contextmanager
def run(home: Path, extra: Mapping[str, str] | None = None) -> Iterator[Instance]:
    """Start an instance and stop it at the end."""
    started = Instance(home, extra or {})
    try:
        started.start()
        yield started
    finally:
        started.stop(signal.SIGTERM)
