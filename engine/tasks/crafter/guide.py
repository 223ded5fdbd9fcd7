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
from engine.tasks.crafter.text import KINDS

MOST = 5  # actions in a turn
TABLE_WOOD = 4
_PLACEABLE = ("grass", "sand", "path")
_LISTS = ("done", "now", "at")


class Facts:
    """The facts of one observation. Raises ConfigError if the text holds none."""

    def __init__(self, text: str) -> None:
        self.have: dict[str, int] = {}
        self.lists: dict[str, list[str]] = {name: [] for name in _LISTS}
        self.flags: set[str] = set()
        self.ahead = ""
        self.routes: dict[str, list[str]] = {}  # kind -> presses
        for line in text.splitlines():
            self._read(line.split())
        if not self.ahead:
            raise ConfigError("the guide reads the observations compact and map only")

    def _read(self, words: list[str]) -> None:
        head, rest = (words[0], words[1:]) if words else ("", [])
        if head in ("health", "have"):
            pairs = words if head == "health" else rest
            self.have.update(
                (name, int(count)) for name, count in zip(pairs[::2], pairs[1::2], strict=False)
            )
        elif head in _LISTS:
            self.lists[head] = rest
        elif head == "ahead":
            self.ahead = rest[0]
        elif head in ("sleeping", "night"):
            self.flags.add(head)
        elif (head in KINDS or head == "new") and rest and (rest == ["here"] or len(rest) > 1):
            self.routes[head] = _presses(rest)

    def count(self, item: str) -> int:
        return self.have.get(item, 0)

    def is_done(self, achievement: str) -> bool:
        return achievement in self.lists["done"]


def _presses(words: list[str]) -> list[str]:
    presses: list[str] = []
    for direction, count in zip(words[::2], words[1::2], strict=False):
        if count.isdecimal():
            presses += [f"move_{direction}"] * int(count)
    return presses


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
    if "sleeping" in facts.flags:
        return ["sleep"] * MOST
    for rule in (_fight, _survive, _craft, _harvest):
        actions = rule(facts)
        if actions:
            return actions[:MOST]
    return _explore(facts)


def _go(facts: Facts, kind: str, then: str = "do", times: int = 1) -> list[str]:
    return [*facts.routes[kind], *[then] * times]


def _fight(facts: Facts) -> list[str]:
    """Hit what stands within two presses: both creatures are achievements, and they hurt."""
    for kind in ("zombie", "skeleton"):
        route = facts.routes.get(kind)
        if route is not None and len(route) <= 2:
            return _go(facts, kind, times=MOST)
    return []


def _survive(facts: Facts) -> list[str]:
    for vital, kind, times in (("drink", "water", MOST), ("food", "cow", MOST)):
        if facts.count(vital) <= 3 and kind in facts.routes:
            return _go(facts, kind, times=times)
    safe = "zombie" not in facts.routes and "skeleton" not in facts.routes
    if safe and facts.count("energy") <= (2 if facts.is_done("wake_up") else 8):
        return ["sleep"] * MOST
    return []


def _craft(facts: Facts) -> list[str]:
    """Do what unlocks something at once; the first table waits for the wood of its first tools."""
    now = facts.lists["now"]
    if "place_table" in now and facts.count("wood") < TABLE_WOOD and "tree" in facts.routes:
        now = []
    if now:
        return now
    stone_tools = not (facts.is_done("make_stone_pickaxe") and facts.is_done("make_stone_sword"))
    if facts.count("stone") and facts.count("wood") and stone_tools:
        route = facts.routes.get("table")
        if route is not None and len(route) <= 9:
            return route
        if facts.count("wood") >= 3 and facts.ahead in _PLACEABLE:
            return ["place_table", "make_stone_pickaxe", "make_stone_sword"]
    return []


def _harvest(facts: Facts) -> list[str]:
    """The nearest of what is still wanted."""
    wanted: dict[str, int] = {}  # kind -> how often to `do`
    if not facts.is_done("collect_drink"):
        wanted["water"] = 1
    if not facts.is_done("eat_cow"):
        wanted["cow"] = MOST
    if facts.count("wood") < _wood_wanted(facts):
        wanted["tree"] = 1
    if facts.count("wood_pickaxe"):
        if facts.count("stone") < 5:
            wanted["stone"] = 1
        if not facts.is_done("collect_coal"):
            wanted["coal"] = 1
    if facts.count("stone_pickaxe") and not facts.is_done("collect_iron"):
        wanted["iron"] = 1
    if facts.count("iron_pickaxe"):
        wanted["diamond"] = 1
    for kind in facts.routes:  # nearest first
        times = wanted.get(kind, 0)
        if times:
            if kind == "tree" and not facts.is_done("collect_sapling"):
                times = 2  # the felled tree leaves grass: search it
            return _go(facts, kind, times=times)
    return []


def _wood_wanted(facts: Facts) -> int:
    if not facts.is_done("place_table"):
        return TABLE_WOOD
    if not facts.is_done("make_wood_pickaxe") or not facts.is_done("make_wood_sword"):
        return 2
    if not facts.is_done("make_stone_pickaxe") or not facts.is_done("make_stone_sword"):
        return 4
    return 0


def _explore(facts: Facts) -> list[str]:
    """Walk to unseen land; until there is a sapling, search the grass at the end of each walk."""
    walk = facts.routes.get("new")
    if not facts.is_done("collect_sapling"):
        if walk:
            return [*walk[: MOST - 1], "do"]
        return ["do"] * MOST
    return walk or ["move_right"] * MOST
