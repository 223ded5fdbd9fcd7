"""What the model reads: the problem, and what became of its earlier answers."""

from __future__ import annotations

from collections.abc import Sequence

from engine.tasks.base import Message, PastCall
from engine.tasks.math.calls import TOOL

SYSTEM = f"Solve the problem. Call {TOOL} once, with nothing but the final answer."


def build_messages(problem: str, past: Sequence[PastCall], left: int) -> list[Message]:
    """One system and one user message; `left` is how many answers may still be given."""
    lines = [problem]
    if past:
        lines += ["", *map(_tell, past), f"Answers left: {left}."]
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "\n".join(lines)},
    ]


def _tell(call: PastCall) -> str:
    if call.error:
        return f"No answer: {call.error}"
    answer = call.actions[0].strip() if call.actions else ""
    return f"Wrong: {answer[:80]}" if answer else "Wrong: the answer was empty."
