"""Keeps the processes of one instance running: `python -m synthweb.supervisor`.

A child that dies is started again, 0.5 s later, then 1 s, 2 s … up to 30 s. Ctrl-C and SIGTERM stop
all of them, the broker last. If the supervisor itself is killed, the kernel ends the children
(synthweb/parent.py). Which children there are: synthweb/children.py.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from synthweb.children import Child

FIRST_DELAY_S = 0.5
MAX_DELAY_S = 30.0
HEALTHY_S = 60.0  # a child that lived this long starts again without a long wait
STOP_S = 14.0  # workers hand their shards back within about 4 s; all is down in 20 s
BROKER_STOP_S = 2.0
MAX_LOG_BYTES = 10 * 1024 * 1024


class Running:
    """One child and its restarts."""

    def __init__(self, child: Child, logs: Path) -> None:
        self.child = child
        self.log = logs / f"{child.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.due_at = 0.0  # when to start (again); infinity for a one-shot that is done
        self.n_deaths = 0

    def start(self) -> None:
        """Start it in a session of its own: the terminal's Ctrl-C reaches the supervisor only."""
        guard = [sys.executable, "-S", "-E", str(Path(__file__).with_name("parent.py"))]
        with _open_log(self.log) as log:
            self.process = subprocess.Popen(
                [*guard, str(os.getpid()), *self.child.command],
                env={**os.environ, **self.child.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started_at = time.monotonic()

    def note_death(self) -> str:
        """If it has died: plan the restart and say so in a sentence, else an empty string."""
        code = self.process.poll() if self.process else None
        if self.process is None or code is None:
            return ""
        self._kill_group()
        self.process = None
        if self.child.once and code >= 0:  # it has said itself what went wrong
            self.due_at = float("inf")
            return f"{self.child.name} could not finish: see {self.log}" if code else ""
        if time.monotonic() - self.started_at > HEALTHY_S:
            self.n_deaths = 0
        delay = min(FIRST_DELAY_S * 2**self.n_deaths, MAX_DELAY_S)
        self.n_deaths += 1
        self.due_at = time.monotonic() + delay
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"{self.child.name} ended ({how}); it starts again in {delay:g} s. See {self.log}"

    def terminate(self) -> None:
        """Ask it to end; the whole group, so that what it started hears it too."""
        self._signal(signal.SIGTERM)

    def wait(self, deadline: float) -> None:
        """Wait until `deadline` (monotonic), then kill whatever of its group is left."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        self._kill_group()
        self.process.wait()
        self.process = None

    def _kill_group(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, signum: int) -> None:
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signum)
            except (ProcessLookupError, PermissionError):
                pass


class Supervisor:
    """Starts the children in order, keeps them alive, stops them in reverse."""

    def __init__(
        self, children: list[Child], logs: Path, say: Callable[[str], None] = print
    ) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self.children = [Running(child, logs) for child in children]
        self.say = say
        self._stopping = False
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Run until SIGINT, SIGTERM or SIGHUP. `ready` is called once all have been started."""
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake the loop
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, self._ask_to_stop)
        try:
            for running in self.children:
                if not self._stopping:
                    self._start(running)
            if not self._stopping:
                ready()
            while not self._stopping:
                self._sleep()
                self._look_after()
        finally:
            self._stop()

    def _ask_to_stop(self, *_: object) -> None:
        self._stopping = True

    def _start(self, running: Running) -> None:
        running.start()
        deadline = time.monotonic() + running.child.ready_s
        while running.child.is_ready is not None and not running.child.is_ready():
            if self._stopping or time.monotonic() > deadline or running.process is None:
                break
            if running.process.poll() is not None:
                break  # the loop says so and starts it again
            time.sleep(0.02)

    def _sleep(self) -> None:
        """Until a signal comes or the next restart is due."""
        due = [r.due_at for r in self.children if r.process is None]
        timeout = max(0.0, min([*due, time.monotonic() + MAX_DELAY_S]) - time.monotonic())
        readable, _, _ = select.select([self._read_fd], [], [], timeout)
        if readable:
            os.read(self._read_fd, 4096)

    def _look_after(self) -> None:
        for running in self.children:
            sentence = running.note_death()
            if sentence and not self._stopping:
                self.say(sentence)
            due = running.process is None and running.due_at <= time.monotonic()
            if due and not self._stopping:
                running.start()

    def _stop(self) -> None:
        """End all but the first (the broker, which the others still ring), then the first."""
        rest = list(reversed(self.children[1:]))
        for group, patience in ((rest, STOP_S), (self.children[:1], BROKER_STOP_S)):
            for running in group:
                running.terminate()
            deadline = time.monotonic() + patience
            for running in group:
                running.wait(deadline)


def _open_log(path: Path) -> IO[bytes]:
    """Open a log for appending; one that grew large is kept once as `.1`."""
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")
