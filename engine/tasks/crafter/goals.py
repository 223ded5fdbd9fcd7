"""What still serves an open achievement: by the recipes, for the texts.

Lives here: which kinds of things are useful to walk to, which actions to play here and now. It is
book-keeping over recipes and inventory; which of them to choose is up to the model.
"""

from __future__ import annotations

from collections.abc import Collection

from engine.tasks.crafter.player import Player
from engine.tasks.crafter.rules import FURNACE, GRASS, MAKE, MATERIAL_ID, MAXIMUM, PLACE, TABLE
from engine.tasks.crafter.sight import FAR
from engine.tasks.crafter.world import World

LOW = 4  # a vital at or below it has to be cared for
CLOSE = 2  # presses; a creature as near as this hurts soon
HUNT = 4  # presses; worth going after while it is an open achievement
HOSTILE = ("zombie", "skeleton")
# Crafting goes in stages; wood is gathered for one at a time.
_STAGES = (
    ("place_table", "make_wood_pickaxe", "make_wood_sword"),
    ("make_stone_pickaxe", "make_stone_sword"),
    ("make_iron_pickaxe", "make_iron_sword"),
)
_STONE_USERS = ("place_stone", "make_stone_pickaxe", "make_stone_sword", "place_furnace")
# The order in which `possible_now` works: what others need comes first.
_ORDER = (
    "place_table", "make_wood_pickaxe", "make_wood_sword", "make_stone_pickaxe",
    "make_iron_pickaxe", "make_stone_sword", "make_iron_sword", "place_plant", "place_furnace",
    "place_stone",
)  # fmt: skip


# What each recipe takes, by the name of its achievement.
_USES = {f"place_{thing}": rule.uses for thing, rule in PLACE.items()} | {
    f"make_{thing}": rule.uses for thing, rule in MAKE.items()
}


def _open(player: Player, names: Collection[str]) -> list[str]:
    return [name for name in names if not player.achievements[name]]


def _needed(player: Player, names: Collection[str], item: str) -> int:
    """How much of an item the open ones among `names` use."""
    return sum(_USES[name].get(item, 0) for name in _open(player, names))


def _has(player: Player, name: str) -> bool:
    """Whether the inventory covers a recipe."""
    return all(player.inventory[item] >= amount for item, amount in _USES[name].items())


def useful_kinds(world: World, lengths: dict[str, int]) -> set[str]:
    """Kinds of things that serve an open achievement, a low vital or safety.

    lengths: presses to the nearest of each kind that can be reached.
    """
    player = world.player
    have, done = player.inventory, player.achievements
    stage = next((s for s in _STAGES if _open(player, s)), ())
    wood = _needed(player, stage, "wood")
    if stage and player.achievements["place_table"] and "table" not in lengths:
        wood += PLACE["table"].uses["wood"]  # another one where the stone is
    wants = {
        "water": not done["collect_drink"] or have["drink"] <= LOW,
        "cow": not done["eat_cow"] or have["food"] <= LOW,
        "plant": not done["eat_plant"] or have["food"] <= LOW,
        "tree": have["wood"] < wood,
        "stone": have["wood_pickaxe"] and have["stone"] < _needed(player, _STONE_USERS, "stone"),
        "coal": have["wood_pickaxe"]
        and (not done["collect_coal"] or have["coal"] < _needed(player, _STAGES[2], "coal")),
        "iron": have["stone_pickaxe"]
        and (not done["collect_iron"] or have["iron"] < _needed(player, _STAGES[2], "iron")),
        "diamond": have["iron_pickaxe"] and not done["collect_diamond"],
        "table": any(_has(player, name) for name in _open(player, (*_STAGES[0][1:], *stage))),
        "furnace": any(_has(player, name) for name in _open(player, _STAGES[2])),
    }
    for kind in HOSTILE:
        reach = CLOSE if done[f"defeat_{kind}"] else HUNT
        wants[kind] = lengths.get(kind, FAR) <= reach
    return {kind for kind, wanted in wants.items() if wanted}


def grass_is_useful(world: World) -> bool:
    """Whether the tile ahead is grass that may hold the sapling still wanted."""
    player = world.player
    x, y = player.target()
    free = world.object_near(x, y) is None and player.is_free(x, y, frozenset((GRASS,)))
    return free and not player.achievements["collect_sapling"]


def possible_now(world: World, lengths: dict[str, int]) -> list[str]:
    """Actions that serve an open achievement here, each working after the ones before it."""
    player = world.player
    left = dict(player.inventory)
    near = {m for m in (TABLE, FURNACE) if world.is_nearby(player.x, player.y, m)}
    names: list[str] = []
    ahead_free = True
    for name in _ORDER:
        uses = _USES[name]
        if any(left[item] < amount for item, amount in uses.items()):
            continue
        again = name == "place_table" and _needs_table(player, near, lengths)
        if player.achievements[name] and not again:
            continue
        verb, _, thing = name.partition("_")
        if verb == "place":
            if not (ahead_free and player.can_place(thing)):
                continue
            ahead_free = False
            near.add(MATERIAL_ID.get(thing, 0))
        elif not near.issuperset(MAKE[thing].nearby):
            continue
        else:
            left[thing] += MAKE[thing].gives
        for item, amount in uses.items():
            left[item] -= amount
        names.append(name)
    return ["sleep"] if not names and _should_sleep(player, lengths) else names


def _needs_table(player: Player, near: set[int], lengths: dict[str, int]) -> bool:
    """Whether another table would make a tool at once, and none is in reach."""
    if TABLE in near or "table" in lengths:
        return False
    left = dict(player.inventory)
    for item, amount in PLACE["table"].uses.items():
        left[item] -= amount
    tools = _open(player, (*_STAGES[0][1:], *_STAGES[1]))
    return any(all(left[item] >= n for item, n in _USES[name].items()) for name in tools)


def _should_sleep(player: Player, lengths: dict[str, int]) -> bool:
    """Sleep is an achievement once energy is not full; later only a low one matters."""
    if player.sleeping or any(kind in lengths for kind in HOSTILE):
        return False
    limit = LOW if player.achievements["wake_up"] else MAXIMUM["energy"] - 1
    return player.inventory["energy"] <= limit
