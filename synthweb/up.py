"""`python -m synthweb.up`: the instance in the foreground. What `make up` ends with.

Refuses to start twice in one home (a locked file with the pid) and on a port that is taken.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path
from typing import IO

from synthweb import broker, credentials, settings
from synthweb.children import children, logs_dir
from synthweb.ports import port_is_free
from synthweb.supervisor import Supervisor

# What the greeting names; nothing is set by it.
ASKED_FOR, STAND_IN = "Qwen/Qwen3-4B", "synthweb/crafter-small"


class AlreadyRunning(RuntimeError):
    """Another supervisor holds this home; the message names its pid."""


def lock_home(home: Path) -> IO[str]:
    """Hold `home/run/supervisor.pid` for as long as the file is open; raises AlreadyRunning.

    The kernel lets the lock go with the process, however it ends: there are no stale locks.
    """
    path = home / "run" / "supervisor.pid"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        file.seek(0)
        pid, _, url = file.read().partition(" ")
        file.close()
        raise AlreadyRunning(
            f"synthweb already runs here ({home}), process {pid}, at {url.strip()}\n"
            f"Stop it with Ctrl-C in its terminal or `kill {pid}`; a second instance needs another "
            "SYNTHWEB_HOME and PORT."
        ) from err
    file.truncate(0)
    file.write(f"{os.getpid()} {settings.PUBLIC_URL}\n")
    file.flush()
    return file


def main() -> int:
    """Start everything and stay; 0 after Ctrl-C or SIGTERM, 1 when it cannot start."""
    began = time.monotonic()
    try:
        lock = lock_home(settings.SYNTHWEB_HOME)
        if not port_is_free(settings.HOST, settings.PORT):
            return _fail(
                f"Port {settings.PORT} on {settings.HOST} is taken by another program.\n"
                f"Choose another one: make up PORT={settings.PORT + 10}"
            )
        if not port_is_free(settings.HOST, settings.TASK_APP_PORT):
            return _fail(
                f"Port {settings.TASK_APP_PORT} on {settings.HOST}, the task app's, is taken by "
                f"another program.\nChoose another one: make up TASK_APP_PORT="
                f"{settings.TASK_APP_PORT + 10}"
            )
        if not settings.REDIS_URL:
            broker.make_socket_dir(settings.BROKER_SOCKET)
        supervisor = Supervisor(children(), logs_dir(), say=_say)
    except (AlreadyRunning, broker.BrokerError) as err:
        return _fail(str(err))
    with lock:
        supervisor.run(ready=lambda: _welcome(time.monotonic() - began))
    _say("Stopped.")
    return 0


def _welcome(seconds: float) -> None:
    """Say where it is; user and password the first time only."""
    _say(f"\nsynthweb is at {settings.PUBLIC_URL}  (started in {seconds:.1f} s)")
    first = credentials.show_once(settings.SYNTHWEB_HOME)
    if first is not None:
        _say(f"  user      {first.user}\n  password  {first.password}")
        _say(f"  synth-ai  set -a; . {credentials.path_in(settings.SYNTHWEB_HOME)}")
        _say(f"            Without a GPU, let a small model stand for {ASKED_FOR}: one click at")
        _say(f"            {settings.PUBLIC_URL}/settings/aliases/, or SYNTHWEB_MODEL_ALIASES=")
        _say(f"            {ASKED_FOR}={STAND_IN}")
    _say(f"  keys      {credentials.path_in(settings.SYNTHWEB_HOME)}")
    _say(f"  logs      {logs_dir()}\nCtrl-C stops all of it.\n")


def _say(sentence: str) -> None:
    print(sentence, flush=True)


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
