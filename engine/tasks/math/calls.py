"""The tool that an answer is submitted with, and how calls become actions.

An action is the answer itself, as it was written. A call that cannot be used is an action too, for
it has its reward: `!missing_tool_call`, `!wrong_tool`. (An answer that begins with `!` gets a space
in front, so that no answer can pass for one.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.errors import ReplyError
from engine.tasks.math.judge import MOST_CHARACTERS

TOOL = "math_submit"
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": TOOL,
            "description": "Submit the final answer to the problem.",
            "parameters": {
                "type": "object",
                "properties": {
                    "answer": {
                        "type": "string",
                        "description": "Only the result: a number, or LaTeX; no working.",
                    }
                },
                "required": ["answer"],
            },
        },
    }
]
TOOL_CHOICE: dict[str, Any] = {"type": "function", "function": {"name": TOOL}}

MISSING, WRONG_TOOL = "missing_tool_call", "wrong_tool"
FAILURES = {f"!{MISSING}": MISSING, f"!{WRONG_TOOL}": WRONG_TOOL}


def read_call(name: str, arguments: Mapping[str, Any]) -> list[str]:
    """The answer of one tool call as an action. Raises ReplyError for what is no such call."""
    if name != TOOL:
        raise ReplyError(f"There is no tool {name[:60]!r}. Call {TOOL}.", code="unknown_tool")
    if not isinstance(arguments, Mapping):
        raise ReplyError(
            f'The arguments of {TOOL} are no object. Call {TOOL} {{"answer": "42"}}.',
            code="bad_arguments",
        )
    answer = arguments.get("answer", "")
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        answer = ""
    return [as_action(str(answer))]


def as_action(answer: str) -> str:
    """An answer as an action; one too long to be judged is cut so that it stays too long."""
    cut = answer[: MOST_CHARACTERS + 1]
    return f" {cut}" if cut.startswith("!") else cut


def failed_call(code: str) -> list[str]:
    """What a reply that is no usable call counts as; `code` is that of its ReplyError.

    The tool with no readable answer in its arguments counts as an empty answer.
    """
    if code == "bad_arguments":
        return [""]
    return [f"!{WRONG_TOOL}" if code == "unknown_tool" else f"!{MISSING}"]
