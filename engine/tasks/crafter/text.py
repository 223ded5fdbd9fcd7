"""What the model reads: the observation in three formats, and the prompt around it.

| format  | for                      | holds |
|---------|--------------------------|-------|
| map     | big models (the default) | the 9 x 7 view row by row, then the lines of `compact` |
| compact | small models             | one short line a fact, always in the same order |
| synth   | Synth-compatible clients | synth-ai's exact layout; the whole view, right way round |

Lines of `compact`: `low` vitals and `have` items; `now` the actions that serve an open achievement
here and now, each working after the ones before it; `tree left left up` the first five presses of
the way to the nearest tree known, after which the player faces it (`tree here`: it does already).
Only what serves an open achievement (`goals.py`) is listed, nearest first. `new` leads to unseen
land. A line that would be empty is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.tasks.base import Message, PastCall
from engine.tasks.crafter.goals import (
    CLOSE,
    HOSTILE,
    LOW,
    grass_is_useful,
    possible_now,
    useful_kinds,
)
from engine.tasks.crafter.objects import Object, Plant
from engine.tasks.crafter.rules import (
    ACHIEVEMENTS,
    ACTIONS,
    LENGTH,
    MAKE,
    MATERIALS,
    PLACE,
    SIZE,
    VIEW_HEIGHT,
    VIEW_WIDTH,
    VITALS,
)
from engine.tasks.crafter.sight import (
    HALF_X,
    HALF_Y,
    NAMES,
    Memory,
    Route,
    creatures_in_view,
    find_routes,
)
from engine.tasks.crafter.world import World

FORMATS = ("map", "compact", "synth")
_MATERIAL = ("edge", *MATERIALS)
DARK = 0.4  # daylight below it is called night
# What routes are told to; the order of those equally near.
KINDS = (
    "zombie", "skeleton", "cow", "plant", "water", "tree", "iron", "diamond", "coal", "stone",
    "table", "furnace", "grass",
)  # fmt: skip
TURN = 5  # presses told of a route: as many as a turn plays


def observe(world: World, memory: Memory, unlocked: Sequence[str], format_: str) -> str:
    """The observation in one of FORMATS; `unlocked` are the achievements so far, in order."""
    if format_ == "synth":
        return _synth(world)
    facts = "\n".join(_facts(world, memory))
    if format_ == "compact":
        return facts
    vitals = " ".join(f"{name} {world.player.inventory[name]}" for name in VITALS)
    done = " ".join(unlocked) if unlocked else "nothing"
    return f"step {world.n_steps}\n{_grid(world)}\n{vitals}\ndone {done}\n{facts}"


def _facts(world: World, memory: Memory) -> list[str]:
    """The lines of `compact`."""
    player, have = world.player, world.player.inventory
    sight = find_routes(world, memory)
    lengths = {kind: len(route) for kind, route in sight.routes.items()}
    lines = ["sleeping"] if player.sleeping else []
    if world.daylight < DARK:
        lines.append("night")
    low = [f"{name} {have[name]}" for name in VITALS if have[name] <= LOW]
    items = [f"{name} {amount}" for name, amount in have.items() if amount and name not in VITALS]
    now = possible_now(world, lengths)
    lines += [
        " ".join([head, *words])
        for head, words in (("low", low), ("have", items), ("now", now))
        if words
    ]
    lines.append(f"ahead {tile_name(world, *player.target())}")
    routes = {
        kind: sight.routes.get(kind, ()) for kind in useful_kinds(world, lengths) & lengths.keys()
    }
    if grass_is_useful(world):
        routes["grass"] = ()
    lines += [f"{kind} {_words(routes[kind])}" for kind in _in_order(routes)]
    if sight.new:
        lines.append(f"new {_words(sight.new)}")
    return lines


def _in_order(routes: dict[str, Route]) -> list[str]:
    """Creatures about to strike, then by the number of presses; ties in the order of KINDS."""
    return sorted(
        (kind for kind in KINDS if kind in routes),
        key=lambda kind: (kind not in HOSTILE or len(routes[kind]) > CLOSE, len(routes[kind])),
    )


def _words(route: Route) -> str:
    return " ".join(route[:TURN]) if route else "here"


def tile_name(world: World, x: int, y: int) -> str:
    """What a tile shows: the thing on it, else its material; "edge" outside the map."""
    if not (0 <= x < SIZE and 0 <= y < SIZE):
        return "edge"
    thing = world.object_at[x * SIZE + y]
    return _MATERIAL[world.materials[x * SIZE + y]] if thing is None else _thing_name(thing)


def _thing_name(thing: Object) -> str:
    if isinstance(thing, Plant):
        return "plant" if thing.ripe else "sapling"
    return NAMES[thing.kind]


def _grid(world: World) -> str:
    """The 9 x 7 view: rows from north to south, columns from west to east."""
    player, materials = world.player, world.materials
    left, top = player.x - HALF_X, player.y - HALF_Y
    columns = range(left, left + VIEW_WIDTH)
    if left >= 0 and left + VIEW_WIDTH <= SIZE and top >= 0 and top + VIEW_HEIGHT <= SIZE:
        starts = range(left * SIZE + top, left * SIZE + top + VIEW_HEIGHT)  # of a row's tiles
        size = VIEW_WIDTH * SIZE
        rows = [
            list(map(_MATERIAL.__getitem__, materials[start : start + size : SIZE]))
            for start in starts
        ]
    else:
        rows = [[tile_name(world, x, y) for x in columns] for y in range(top, top + VIEW_HEIGHT)]
    for thing in creatures_in_view(world):
        rows[thing.y - top][thing.x - left] = _thing_name(thing)
    rows[HALF_Y][HALF_X] = "player"
    return "\n".join(" ".join(row) for row in rows)


def _synth(world: World) -> str:
    """The text of synth-ai's task app, word for word; its map showed 5 x 5 tiles, transposed."""
    player = world.player
    items = [f"{k}:{v}" for k, v in player.inventory.items() if v and k != "health"]
    unlocked = [name for name in ACHIEVEMENTS if player.achievements[name]]
    return "\n".join(
        (
            "=== CRAFTER GAME STATE ===",
            f"Step: {world.n_steps}/{LENGTH}",
            f"Health: {player.health}",
            f"Position: [{player.x}, {player.y}]",
            f"Facing: [{player.facing[0]}, {player.facing[1]}]",
            f"Inventory: {', '.join(items) if items else 'empty'}",
            f"Achievements: {', '.join(unlocked) if unlocked else 'none'}",
            "",
            f"Local Map View ({2 * HALF_X + 1}x{2 * HALF_Y + 1}):",
            _grid(world),
            "",
            "Choose your next actions.",
            "",
        )
    )


_RULES = """You play Crafter: a survival game on a grid. \
Unlock as many different achievements as you can.
Answer with one call of interact_many with 1 to 8 actions, best 1 to 5; they are played in order.
move_left, move_right, move_up and move_down turn you that way and walk if the tile is free; \
do acts on the tile ahead: it fells trees, mines, drinks, eats, hits, searches grass for a sapling.
place_table needs {table}, placed on a free tile ahead. Near a table: \
make_wood_pickaxe {wood_pickaxe}, make_wood_sword {wood_sword}, \
make_stone_pickaxe {stone_pickaxe}, make_stone_sword {stone_sword}. \
place_furnace {furnace}. Near table and furnace: make_iron_pickaxe {iron_pickaxe}, \
make_iron_sword {iron_sword}. place_stone {stone}, place_plant {plant} on grass.
Stone and coal need a wood pickaxe, iron a stone pickaxe, diamond an iron pickaxe. \
Sleep when energy is low; you wake when it is full. Do not walk into lava.
Achievements: {achievements}."""

_LEGEND = """Lines: "tree left left up" is the way to the nearest tree known: walk it and you face \
the tree; "tree here" says you do already; five words may be the first part of a longer way. \
Only things that serve an open achievement are listed, the nearest first; "new" leads to unseen \
land; "ahead" is the tile you face; "now" names actions that serve an open achievement at once."""

_MAP_LEGEND = (
    """The map shows 9 x 7 tiles, north at the top, west on the left, you in the middle."""
)

_SYNTH_SYSTEM = """You play Crafter: collect resources, craft tools, survive, unlock achievements.
Always return a single tool call: interact_many({actions: [...]}) with 1 to 8 actions."""


def system_prompt(format_: str) -> str:
    """The system message; the same in every turn of every episode of a format."""
    recipes = {
        name: ", ".join(f"{amount} {item}" for item, amount in info.uses.items())
        for table in (PLACE, MAKE)
        for name, info in table.items()
    }
    rules = _RULES.format(achievements=", ".join(ACHIEVEMENTS), **recipes)
    if format_ == "compact":
        return f"{rules}\n{_LEGEND}"
    if format_ == "map":
        return f"{rules}\n{_MAP_LEGEND} {_LEGEND}"
    return f"{_SYNTH_SYSTEM}\nAvailable actions: {', '.join(ACTIONS)}"


_SYSTEM = {format_: system_prompt(format_) for format_ in FORMATS}


def build_messages(text: str, past: Sequence[PastCall], format_: str) -> list[Message]:
    """One system and one user message: the observation, then the last calls.

    `map` and `synth` show the last three, newest first; `compact` only says why the last one
    failed, because every token counts and its facts need no past.
    """
    if format_ == "compact":
        failed = f"\nfailed {past[-1].error}" if past and past[-1].error else ""
        user = text + failed
    elif format_ == "map":
        user = f"{text}\nlast calls, newest first:\n{_past_lines(past)}"
    else:
        user = f"{text}\n\nPrevious tool calls (most recent first):\n{_past_lines(past)}"
    return [
        {"role": "system", "content": _SYSTEM[format_]},
        {"role": "user", "content": user},
    ]


def _past_lines(past: Sequence[PastCall]) -> str:
    lines = []
    for call in reversed(past[-3:]):
        if call.error:
            lines.append(f"- failed: {call.error}")
        else:
            actions = ",".join(f'"{name}"' for name in call.actions)
            lines.append(f'- interact_many: {{"actions":[{actions}]}}')
    return "\n".join(lines) or "- none"
