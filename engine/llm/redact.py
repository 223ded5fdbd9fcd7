"""Takes the key out of what an API answers: some repeat the key that they refuse.

Answers become errors, events, traces and pages, so this is done where they arrive.
"""

from __future__ import annotations

MIN_KEY = 8  # shorter ones are placeholders ("EMPTY", "x") and would take words apart
REMOVED = b"[key removed]"


def without_key(answer: bytes, key: str) -> bytes:
    """`answer` with every occurrence of `key` replaced. Costs one search."""
    if len(key) < MIN_KEY:
        return answer
    return answer.replace(key.encode(), REMOVED)
