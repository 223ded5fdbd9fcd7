"""The picture of a state: the problem in words and what was answered, as JSON in UTF-8.

`{"problem", "split", "index", "tries": [[answer, status], …], "expected"}`; `expected` stands there
only when the episode is over. Its first byte is `{`, which no view of a game with tiles begins
with; `static/js/words.js` and the template filter `problem_of` show it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from engine.errors import TaskError
from engine.tasks.math.problems import Problem

MOST_CHARACTERS = 600  # of the problem
MOST_OF_ANSWER = 80
MOST_TRIES = 8  # the last ones


def pack_view(problem: Problem, tries: Sequence[tuple[str, str]], *, over: bool) -> bytes:
    """About 150 bytes for a problem of a line."""
    view: dict[str, Any] = {
        "problem": _cut(problem.text, MOST_CHARACTERS),
        "split": problem.split,
        "index": problem.index,
        "tries": [[_cut(answer, MOST_OF_ANSWER), status] for answer, status in tries[-MOST_TRIES:]],
    }
    if over:
        view["expected"] = _cut(problem.answer, MOST_OF_ANSWER)
    return json.dumps(view, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def unpack_view(view: bytes) -> dict[str, Any]:
    """Undo `pack_view`. Raises TaskError for bytes that are no such view."""
    try:
        found = json.loads(view)
    except ValueError as err:
        raise TaskError("not a view of a problem", retryable=False) from err
    if not isinstance(found, dict) or not isinstance(found.get("problem"), str):
        raise TaskError("not a view of a problem", retryable=False)
    return found


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
