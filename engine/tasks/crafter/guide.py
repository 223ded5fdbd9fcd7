"""The guide: a scripted expert that sees only what the model sees, one prompt at a time.

It reads the facts of the `compact` or `map` observation (`text.py`) and is a function of that text
alone: no memory, no chance. So a small model can learn it from (prompt, call) pairs. It is a list
of rules; the first that applies gives the call, mostly "walk the route of one kind, then do".
Also here: the `random` policy.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from engine.errors import ConfigError
from engine.tasks.base import Message, ScriptedCall
from engine.tasks.crafter.calls import TOOL
from engine.tasks.crafter.rules import ACTIONS
from engine.tasks.crafter.text import KINDS, TURN

MOST = TURN  # actions in a turn
FIRST_WOOD = 4  # the first table waits for the wood of its first tools
STATIONS = ("table", "furnace")  # to stand beside, not to act on
_BUSY = ("zombie", "skeleton", "cow", "grass")  # take more than one `do`


class Facts:
    """The lines of one observation. Raises ConfigError if the text holds none."""

    def __init__(self, text: str) -> None:
        lines = [line.split() for line in text.splitlines() if line]
        self.lines = {words[0]: words[1:] for words in lines}
        if "ahead" not in self.lines:
            raise ConfigError("the guide reads the observations compact and map only")
        ahead = max(i for i, words in enumerate(lines) if words[0] == "ahead")
        # Only what is below it: a row of the map may begin with the name of a kind too.
        self.goals = [words[0] for words in lines[ahead + 1 :] if words[0] in KINDS]

    def presses(self, head: str) -> list[str]:
        return [f"move_{word}" for word in self.lines.get(head, ()) if word != "here"]

    def count(self, item: str) -> int:
        have = self.lines.get("have", [])
        return int(have[have.index(item) + 1]) if item in have else 0


def guide_call(messages: Sequence[Message], turn_key: tuple[int, int, int]) -> ScriptedCall:
    """The guide's answer to a prompt of this task. Raises ConfigError for the format `synth`."""
    del turn_key
    return ScriptedCall(TOOL, {"actions": choose(Facts(str(messages[-1]["content"])))})


def random_call(messages: Sequence[Message], turn_key: tuple[int, int, int]) -> ScriptedCall:
    """1 to 5 actions, each any of the 17; the turn key alone decides."""
    del messages
    chance = random.Random(":".join(map(str, ("random", *turn_key))))
    actions = [chance.choice(ACTIONS) for _ in range(chance.randint(1, MOST))]
    return ScriptedCall(TOOL, {"actions": actions})


def choose(facts: Facts) -> list[str]:
    """The rules, most urgent first."""
    if "sleeping" in facts.lines:
        return ["sleep"] * MOST
    now = facts.lines.get("now", [])
    if now == ["sleep"]:
        return now * MOST
    saving = "place_table" in now and facts.count("wood") < FIRST_WOOD and "tree" in facts.goals
    if now and not saving:
        return now[:MOST]
    if facts.goals:
        return _pursue(facts, facts.goals[0])
    return facts.presses("new") or ["move_right"] * MOST


def _pursue(facts: Facts, kind: str) -> list[str]:
    """Walk the way to it; where it ends within the turn, act on it."""
    presses = facts.presses(kind)
    if kind in STATIONS:
        return presses or ["noop"]
    times = MOST - len(presses) if kind in _BUSY else 1
    return [*presses, *["do"] * times][:MOST]
