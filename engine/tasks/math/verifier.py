"""The process that asks math-verify: a JSON line [answer, expected] in, `right` or `wrong` out.

Started by `judge.py` with the processor seconds that one answer may take. The kernel ends this
process when they are over, also in the middle of a power that Python cannot interrupt. It ends by
itself when its parent is gone.
"""

from __future__ import annotations

import json
import logging
import resource
import signal
import sys

MOST_MEMORY_BYTES = 2 * 1024**3


def main() -> None:
    """Judge one line after the other until the input ends."""
    limit_s = float(sys.argv[1])
    _verify("1", "1")  # imports; not on the first answer's account
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    for line in sys.stdin:
        answer, expected = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, limit_s)
        right = _verify(answer, expected)
        signal.setitimer(signal.ITIMER_PROF, 0)
        print("right" if right else "wrong", flush=True)


def _verify(answer: str, expected: str) -> bool:
    """As math-verify says; what it cannot read is wrong. As LaTeX between dollars, and as it is."""
    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)
    try:
        gold = parse(f"${expected}$", parsing_timeout=None) or parse(expected, parsing_timeout=None)
        for text in (answer, f"${answer}$"):
            read = parse(text, parsing_timeout=None)
            if read and verify(gold, read, timeout_seconds=None):
                return True
    except Exception:  # whatever a parser raises on hostile text
        return False
    return False


if __name__ == "__main__":
    main()
