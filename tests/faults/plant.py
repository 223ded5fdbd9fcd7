"""Real workers, tickers and a broker as processes on the database of the test."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import psutil
from django.conf import settings
from django.db import connection

from apps.runs.models import Run, WorkerNode
from apps.runs.services.workers import TICKER
from synthweb.bootstrap import ROOT
from tests.servers.redis import RedisServer
from tests.servers.waiting import wait_until

WORKER = (
    *("celery", "-A", "synthweb", "worker", "-P", "threads", "-l", "INFO"),
    *("--without-gossip", "--without-mingle", "-Q", "rollout,train,serve"),
)


def database_url() -> str:
    """The test's database as child processes are told."""
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    host = values["HOST"]
    return f"postgres://{values['USER']}@/{values['NAME']}?host={quote(host, safe='/')}"


class Plant:
    """What a test starts, kills and stops. `log` holds what the processes said."""

    def __init__(self, home: Path, broker: RedisServer) -> None:
        self.broker = broker
        self.log = home / "plant.log"
        kept = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        self.environment = {
            **kept,
            "SYNTHWEB_HOME": str(settings.SYNTHWEB_HOME),
            "DATABASE_URL": database_url(),
            "REDIS_URL": broker.url,
            "SYNTHWEB_LEASE_SECONDS": "4",
            "SYNTHWEB_RENEW_SECONDS": "1",
            "SYNTHWEB_RETRY_BACK_OFF_SECONDS": "0",
            "SYNTHWEB_TICK_SECONDS": "1",
        }
        self.started: list[subprocess.Popen[bytes]] = []

    def start_worker(self, **slots: int) -> subprocess.Popen[bytes]:
        """A Celery worker; returns when it has reported. Slots by need, one rollout by default."""
        sizes = {"rollout": 1, "train": 0, "serve": 0, **slots}
        extra = {f"SYNTHWEB_SLOTS_{need.upper()}": str(n) for need, n in sizes.items()}
        name = f"test-{len(self.started)}@localhost"
        process = self._start([*WORKER, "-c", str(sum(sizes.values())), "-n", name], extra)
        known = WorkerNode.objects.filter(pid=process.pid)
        wait_until(known.exists, f"a worker to report; see {self.log}", 40)
        return process

    def start_ticker(self) -> subprocess.Popen[bytes]:
        process = self._start([], {}, command=["manage.py", "tick", "--loop"])
        known = WorkerNode.objects.filter(name=TICKER, pid=process.pid)
        wait_until(known.exists, f"the ticker's first tick; see {self.log}", 40)
        return process

    def _start(
        self, module: list[str], extra: dict[str, str], command: list[str] | None = None
    ) -> subprocess.Popen[bytes]:
        arguments = command or ["-m", *module]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={**self.environment, **extra},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL, to this process alone."""
        process.send_signal(signal.SIGKILL)
        process.wait()

    def pause(self, process: subprocess.Popen[bytes]) -> None:
        """SIGSTOP, to this process alone, at a moment when it holds no lock of SQLite.

        One that sleeps in a transaction keeps that file from everybody, as long as it sleeps;
        Postgres ends such a transaction by itself (synthweb/databases.py).
        """
        status = psutil.Process(process.pid).status
        while True:
            process.send_signal(signal.SIGSTOP)
            wait_until(lambda: status() == psutil.STATUS_STOPPED, "a process to stand still")
            if connection.vendor != "sqlite" or _may_write(connection.settings_dict["NAME"]):
                return
            process.send_signal(signal.SIGCONT)
            time.sleep(0.05)  # let it come out of its transaction

    def stop_all(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _may_write(database: str) -> bool:
    """Whether nobody stands in a transaction for longer than a moment."""
    with closing(sqlite3.connect(database, timeout=1.0)) as there:
        try:
            there.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        there.rollback()
        return True


@contextmanager
def run_plant(home: Path, broker: RedisServer) -> Iterator[Plant]:
    """A plant without anything running in it yet; all it starts is stopped at the end."""
    plant = Plant(home, broker)
    try:
        yield plant
    finally:
        plant.stop_all()


def engines(run: Run) -> list[int]:
    """The pids of living engines that work on a run."""
    mark = f"{settings.RUNS_DIR}/{run.pk}/"
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        command = process.info["cmdline"] or []
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(
            part.startswith(mark) for part in command
        ):
            found.append(process.info["pid"])
    return found


def wait_for_state(run: Run, *states: str, seconds: float = 60.0) -> Run:
    """Wait until the run is in one of these states; gives it back fresh."""

    def there() -> bool:
        run.refresh_from_db()
        return run.state in states

    wait_until(there, f"run {run.pk} to be {states}, it is {run.state}", seconds)
    return run
