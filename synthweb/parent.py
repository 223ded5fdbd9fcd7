"""Ending with the parent: every child of the supervisor is started through this file.

`python parent.py PARENT_PID COMMAND…` arms the process and becomes the command. On Linux the kernel
sends SIGTERM when the thread that forked us ends, which holds across exec; elsewhere this process
stays, watches the parent and ends the command's group. Grandchildren (the engine) arm themselves.

Plain standard library: it runs before every child, with `python -S -E`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
WATCH_S = 0.5
GRACE_S = 5.0


def main(parent: int, command: list[str]) -> int:
    """Become `command`, to be sent SIGTERM when `parent` dies."""
    if sys.platform != "linux":
        return _stay_and_watch(parent, command)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before we armed
        return 1
    os.execvp(command[0], command)  # noqa: S606


def _stay_and_watch(parent: int, command: list[str]) -> int:
    """Run the command as a child and pass on its end; end it when the parent is gone."""
    child = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    while child.poll() is None:
        if os.getppid() != parent:
            child.terminate()
            try:
                child.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                child.kill()
        time.sleep(WATCH_S)
    return child.returncode


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
