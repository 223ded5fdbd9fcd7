"""The tool that a model plays with, and how its calls are read.

Every bad call gets a ReplyError whose message tells the model what to do instead (next turn).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.errors import ReplyError
from engine.tasks.crafter.rules import ACTIONS

TOOL = "interact_many"
MOST_ACTIONS = 8
_TOOL_NAMES = frozenset((TOOL, "interact"))

ALIASES: dict[str, str] = {
    "left": "move_left",
    "right": "move_right",
    "up": "move_up",
    "down": "move_down",
    "interact": "do",
    "use": "do",
    "action": "do",
    "rest": "sleep",
    **{name.replace("make_", "craft_"): name for name in ACTIONS if name.startswith("make_")},
}

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": TOOL,
            "description": "Play 1 to 8 actions of the game in order.",
            "parameters": {
                "type": "object",
                "properties": {
                    "actions": {
                        "type": "array",
                        "description": "The actions, played one after the other.",
                        "items": {"type": "string", "enum": list(ACTIONS)},
                        "minItems": 1,
                        "maxItems": MOST_ACTIONS,
                    }
                },
                "required": ["actions"],
            },
        },
    }
]
TOOL_CHOICE: dict[str, Any] = {"type": "function", "function": {"name": TOOL}}
_EXAMPLE = f'{TOOL} {{"actions": ["move_left", "do"]}}'


def read_action(action: object) -> str:
    """The canonical name of an action given by name, alias or index. Raises ReplyError."""
    if isinstance(action, int) and not isinstance(action, bool):
        if 0 <= action < len(ACTIONS):
            return ACTIONS[action]
    elif isinstance(action, str):
        name = action.strip().lower()
        name = ALIASES.get(name, name)
        if name in ACTIONS:
            return name
        if name.isdecimal() and int(name[:3]) < len(ACTIONS):
            return ACTIONS[int(name)]
    raise ReplyError(
        f"unknown action {str(action)[:60]!r}; nothing was played. Actions: {', '.join(ACTIONS)}",
        code="unknown_action",
    )


def read_call(name: str, arguments: Mapping[str, Any]) -> list[str]:
    """The canonical actions of one tool call, all or none of them. Raises ReplyError.

    Besides `interact_many {actions}` the older `interact {action}` is understood.
    """
    if name not in _TOOL_NAMES:
        raise ReplyError(
            f"there is no tool {name[:60]!r}; nothing was played. Call {_EXAMPLE}",
            code="unknown_tool",
        )
    if not isinstance(arguments, Mapping):
        raise _bad_arguments(f"the arguments are a {type(arguments).__name__}, not an object")
    given = arguments.get("actions", arguments.get("action") if name == "interact" else None)
    if given is None:
        raise _bad_arguments('"actions" is missing')
    if isinstance(given, str | int) and name == "interact":
        given = [given]
    if not isinstance(given, list | tuple):
        raise _bad_arguments(f'"actions" is a {type(given).__name__}, not a list')
    if not given:
        raise ReplyError(
            f"no actions; nothing was played. Give 1 to {MOST_ACTIONS}, as in {_EXAMPLE}",
            code="no_actions",
        )
    if len(given) > MOST_ACTIONS:
        raise ReplyError(
            f"{len(given)} actions are too many; nothing was played. Give at most {MOST_ACTIONS}",
            code="too_many_actions",
        )
    return [read_action(action) for action in given]


def _bad_arguments(what: str) -> ReplyError:
    return ReplyError(f"{what}; nothing was played. Call {_EXAMPLE}", code="bad_arguments")
