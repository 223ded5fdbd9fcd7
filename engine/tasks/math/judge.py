"""Whether an answer is right: by value, as math-verify reads it, with a limit on what that costs.

Plain numbers are compared here, exactly. Anything else (LaTeX, words around a number, algebra) goes
to math-verify in a process of its own: an answer such as `9**9**9**9` would hold this one for ever.
Its limit is processor time, so a busy machine never turns a right answer wrong; whoever exceeds
time or memory is judged wrong, and the process is started again.

Where a number is asked for, the answer must name just one: `12 + 34` has the value of 46, and
copying the question is no solution. Nor is `92/2`, where the solution is whole.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import re
import select
import subprocess
import sys
from fractions import Fraction
from threading import Lock

MOST_CHARACTERS = 1000  # of an answer; a longer one is wrong
CPU_LIMIT_S = 2.0
WALL_LIMIT_S = 60.0  # a machine that gives the process no processor at all
_NUMBER = re.compile(r"([+-]?)\s*(\d{1,3}(?:,\d{3})+|\d+)?(\.\d+)?(?:\s*/\s*(\d+))?")
_DIGITS = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?|\.\d+")
_MOST_DIGITS = 400


def judge(answer: str, expected: str) -> bool:
    """Whether `answer` has the value of `expected`. Never raises, however odd the answer.

    Usually some microseconds; at most CPU_LIMIT_S of another process's time.
    """
    answer, expected = answer.strip(), expected.strip()
    if not answer or len(answer) > MOST_CHARACTERS:
        return False
    if answer == expected:
        return True
    wanted = read_number(expected)
    if wanted is not None:
        found = read_number(answer)
        if found is not None:
            return found == wanted and ("/" not in answer or wanted.denominator > 1)
        n_numbers = len(_DIGITS.findall(answer))
        if n_numbers != 1 and not (n_numbers == 2 and "/" in expected):
            return False
    return _PROCESS.judge(answer, expected)


def read_number(text: str) -> Fraction | None:
    """The value of `-1,234.5` or `3/4`; None for anything else."""
    text = text.strip().replace("\N{MINUS SIGN}", "-")
    match = _NUMBER.fullmatch(text)
    if match is None or len(text) > _MOST_DIGITS or not text.isascii():
        return None
    sign, whole, decimals, below = match.groups()
    if whole is None and decimals is None:
        return None
    value = Fraction(f"{(whole or '0').replace(',', '')}{decimals or ''}")
    if below is not None:
        if int(below) == 0:
            return None
        value /= int(below)
    return -value if sign == "-" else value


class _Process:
    """The process that runs math-verify; one for all threads, started when first needed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._child: subprocess.Popen[str] | None = None

    def judge(self, answer: str, expected: str) -> bool:
        with self._lock:
            child = self._child
            if child is None or child.poll() is not None:
                child = self._child = self._start()
            said = _ask(child, json.dumps([answer, expected]))
            if not said:  # it was stopped by its limit, or is stuck
                self.close()
            return said == "right\n"

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "engine.tasks.math.verifier", str(CPU_LIMIT_S)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def close(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()


def _ask(child: subprocess.Popen[str], line: str) -> str:
    """What the process says to a line; "" when it does not."""
    if child.stdin is None or child.stdout is None:
        return ""
    try:
        child.stdin.write(line + "\n")
        child.stdin.flush()
        ready, _, _ = select.select([child.stdout], [], [], WALL_LIMIT_S)
        return child.stdout.readline() if ready else ""
    except OSError:
        return ""


_PROCESS = _Process()
atexit.register(_PROCESS.close)
