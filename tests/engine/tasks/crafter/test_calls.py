"""Bad tool calls (R11): never a crash, never silently a noop, always words for the model."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import ReplyError, TaskError
from engine.tasks.crafter.rules import ACTIONS
from engine.tasks.crafter.task import CrafterTask


@pytest.mark.parametrize(
    ("given", "action"),
    [
        ("left", "move_left"),
        ("right", "move_right"),
        ("up", "move_up"),
        ("down", "move_down"),
        ("interact", "do"),
        ("use", "do"),
        ("action", "do"),
        ("rest", "sleep"),
        ("craft_wood_pickaxe", "make_wood_pickaxe"),
        ("craft_stone_sword", "make_stone_sword"),
        ("craft_iron_pickaxe", "make_iron_pickaxe"),
        (" Move_Left ", "move_left"),
        (0, "noop"),
        (5, "do"),
        (16, "make_iron_sword"),
        ("5", "do"),
        *((name, name) for name in ACTIONS),
    ],
)
def test_actions_are_read_by_name_alias_and_index(
    task: CrafterTask, given: Any, action: str
) -> None:
    assert task.read_call("interact_many", {"actions": [given]}) == [action]


@pytest.mark.parametrize(
    ("name", "arguments", "code", "words"),
    [
        ("fly", {"actions": ["do"]}, "unknown_tool", "no tool 'fly'.*Call interact_many"),
        ("interact_many", {}, "bad_arguments", '"actions" is missing'),
        ("interact_many", {"actions": None}, "bad_arguments", '"actions" is missing'),
        ("interact_many", {"actions": "do"}, "bad_arguments", "is a str, not a list"),
        ("interact_many", {"actions": {"a": 1}}, "bad_arguments", "is a dict, not a list"),
        ("interact_many", ["do"], "bad_arguments", "are a list, not an object"),
        ("interact_many", {"actions": []}, "no_actions", "Give 1 to 8"),
        ("interact_many", {"actions": ["do"] * 9}, "too_many_actions", "9 actions.*at most 8"),
        ("interact_many", {"actions": ["do"] * 200}, "too_many_actions", "200 actions"),
        ("interact_many", {"actions": ["do", "jump"]}, "unknown_action", "'jump'.*make_wood"),
        ("interact_many", {"actions": [17]}, "unknown_action", "17"),
        ("interact_many", {"actions": [-1]}, "unknown_action", "-1"),
        ("interact_many", {"actions": ["99999999999"]}, "unknown_action", "9999"),
        ("interact_many", {"actions": [True]}, "unknown_action", "True"),
        ("interact_many", {"actions": [1.0]}, "unknown_action", "1.0"),
        ("interact_many", {"actions": [["do"]]}, "unknown_action", "do"),
        ("interact_many", {"actions": [None]}, "unknown_action", "None"),
        ("interact_many", {"actions": ["x" * 10**6]}, "unknown_action", "unknown action"),
    ],
)
def test_a_bad_call_tells_the_model_what_to_do(
    task: CrafterTask, name: str, arguments: Any, code: str, words: str
) -> None:
    with pytest.raises(ReplyError, match=words) as caught:
        task.read_call(name, arguments)
    assert caught.value.code == code
    assert "nothing was played" in caught.value.message
    assert len(caught.value.message) < 500


def test_the_older_tool_with_one_action_is_understood(task: CrafterTask) -> None:
    assert task.read_call("interact", {"action": "do"}) == ["do"]
    assert task.read_call("interact", {"action": 5}) == ["do"]


def test_eight_actions_are_a_call(task: CrafterTask) -> None:
    assert task.read_call("interact_many", {"actions": ["do"] * 8}) == ["do"] * 8


def test_the_tool_definition_names_every_action(task: CrafterTask) -> None:
    (tool,) = task.tools
    actions = tool["function"]["parameters"]["properties"]["actions"]
    assert tuple(actions["items"]["enum"]) == ACTIONS
    assert (actions["minItems"], actions["maxItems"]) == (1, 8)


def test_a_game_refuses_an_unknown_action(task: CrafterTask) -> None:
    with pytest.raises(TaskError, match="unknown action 'jump'"):
        task.new_game(0, {}).step("jump")
