"""Ending with the parent: what a child of the supervisor calls first thing in its main.

Linux sends SIGTERM when the thread that forked us ends; elsewhere a thread looks at the parent
every second. Grandchildren (the engine) arm themselves too, else they would stay.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

PARENT_VARIABLE = "SYNTHWEB_PARENT_PID"
PR_SET_PDEATHSIG = 1


def die_with_parent(signum: int = signal.SIGTERM) -> None:
    """Arm this process to get `signum` when its parent dies; does nothing without a supervisor.

    The pid in the environment closes the race of a parent that died before we armed; it is taken
    out of the environment, so that a grandchild does not compare itself with our parent.
    """
    parent = int(os.environ.pop(PARENT_VARIABLE, "0"))
    if not parent:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signum, 0, 0, 0)
    else:
        threading.Thread(target=_watch, args=(parent, signum), daemon=True).start()
    if os.getppid() != parent:
        os.kill(os.getpid(), signum)


def _watch(parent: int, signum: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signum)
