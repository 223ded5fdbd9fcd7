"""What the model reads: the observation in three formats, and the prompt around it.

| format  | for                      | holds |
|---------|--------------------------|-------|
| map     | big models (the default) | the 9 x 7 view row by row, then the lines of `compact` |
| compact | small models             | one short line a fact, always in the same order |
| synth   | Synth-compatible clients | synth-ai's exact layout; the whole view, right way round |

A fact line of `compact` and `map`: `tree left 3 up 1` are the presses after which the player faces
the nearest tree known (they sum to its offset); `tree here` says that it does already. `new` leads
to unseen land. `now` names achievements still open that the actions of these names unlock here and
now, in an order in which all of them work. A line that would be empty is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.tasks.base import Message, PastCall
from engine.tasks.crafter.objects import Object, Plant
from engine.tasks.crafter.rules import (
    ACHIEVEMENTS,
    ACTIONS,
    FURNACE,
    LENGTH,
    MAKE,
    MATERIALS,
    PLACE,
    SIZE,
    TABLE,
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
    "table", "furnace",
)  # fmt: skip
# The order in which `now` is worked out: what others need comes first.
_NOW = (
    "place_table", "make_wood_pickaxe", "make_wood_sword", "make_stone_pickaxe",
    "make_iron_pickaxe", "make_stone_sword", "make_iron_sword", "place_plant", "place_furnace",
    "place_stone",
)  # fmt: skip


def observe(world: World, memory: Memory, unlocked: Sequence[str], format_: str) -> str:
    """The observation in one of FORMATS; `unlocked` are the achievements so far, in order."""
    if format_ == "synth":
        return _synth(world)
    facts = "\n".join(_facts(world, memory, unlocked))
    if format_ == "compact":
        return facts
    return f"step {world.n_steps}\n{_grid(world)}\n{facts}"


def _facts(world: World, memory: Memory, unlocked: Sequence[str]) -> list[str]:
    player = world.player
    have = player.inventory
    lines = [" ".join(f"{name} {have[name]}" for name in VITALS)]
    items = [f"{name} {amount}" for name, amount in have.items() if amount and name not in VITALS]
    lines.append(" ".join(["have", *items]) if items else "have nothing")
    lines.append(" ".join(["done", *unlocked]) if unlocked else "done nothing")
    if player.sleeping:
        lines.append("sleeping")
    if world.daylight < DARK:
        lines.append("night")
    near = {m for m in (TABLE, FURNACE) if world.is_nearby(player.x, player.y, m)}
    now = possible_now(world, near)
    if now:
        lines.append(" ".join(["now", *now]))
    if near:
        lines.append(" ".join(["at", *(_MATERIAL[material] for material in sorted(near))]))
    lines.append(f"ahead {tile_name(world, *player.target())}")
    sight = find_routes(world, memory)
    lines += [f"{kind} {_words(route)}" for kind, route in _nearest_first(sight.routes)]
    if sight.new:
        lines.append(f"new {_words(sight.new)}")
    return lines


def _nearest_first(routes: dict[str, Route]) -> list[tuple[str, Route]]:
    """Routes by their number of presses, ties in the order of KINDS."""
    known = [(kind, routes[kind]) for kind in KINDS if kind in routes]
    return sorted(known, key=lambda entry: sum(count for _, count in entry[1]))


def _words(route: Route) -> str:
    return " ".join(f"{name} {count}" for name, count in route) if route else "here"


def possible_now(world: World, stations: set[int]) -> list[str]:
    """Open achievements that the actions of the same names unlock here, one after the other.

    stations: which of table and furnace are near.
    """
    player = world.player
    left, near = dict(player.inventory), set(stations)
    names: list[str] = []
    ahead_free = True
    for name in _NOW:
        verb, _, thing = name.partition("_")
        if player.achievements[name]:
            continue
        uses = PLACE[thing].uses if verb == "place" else MAKE[thing].uses
        if any(left[item] < amount for item, amount in uses.items()):
            continue
        if verb == "place":
            if not (ahead_free and player.can_place(thing)):
                continue
            ahead_free = False
            near.add(PLACE[thing].material)
        elif not near.issuperset(MAKE[thing].nearby):
            continue
        else:
            left[thing] += MAKE[thing].gives
        for item, amount in uses.items():
            left[item] -= amount
        names.append(name)
    return names


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
        rows = [
            [_MATERIAL[materials[x * SIZE + y]] for x in columns]
            for y in range(top, top + VIEW_HEIGHT)
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

_LEGEND = """Facts: "tree left 3 up 1" are the moves after which you face the nearest tree known, \
"tree here" says you do already; "new" leads to unseen land; "ahead" is the tile you face; \
"now" names achievements that you can unlock at once by the actions of these names; \
"at" names what you can craft with here; the nearest things come first."""

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
