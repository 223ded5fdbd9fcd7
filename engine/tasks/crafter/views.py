"""The compact picture of a state: 87 bytes, enough to draw the game with Crafter's own textures.

| byte  | holds |
|-------|-------|
| 0     | 1, the version of this layout |
| 1–63  | 9 x 7 tiles, row by row from the north-west: low nibble MATERIALS, high nibble THINGS |
| 64    | bits 0–1 facing (FACINGS), bit 4 sleeping, bit 5 dead |
| 65    | daylight, 0 (night) to 255 |
| 66–81 | the 16 amounts of ITEMS |
| 82–84 | achievements unlocked so far, little endian, bit i is ACHIEVEMENTS[i] |
| 85–86 | steps played, little endian (at most 65535) |

Draw the material of each tile, then its thing over it (with alpha), as stock Crafter does.
"""

from __future__ import annotations

from typing import Any

from engine.errors import TaskError
from engine.tasks.crafter import rules
from engine.tasks.crafter.objects import Arrow, Object, Plant
from engine.tasks.crafter.player import Player
from engine.tasks.crafter.rules import ACHIEVEMENTS, ITEMS, SIZE
from engine.tasks.crafter.sight import HALF_X, HALF_Y, creatures_in_view
from engine.tasks.crafter.world import World

VERSION = 1
SIZE_BYTES = 87
FACINGS = ("left", "right", "up", "down")
# Names are those of the textures; nibble 0 of materials is outside the map, of things nothing.
MATERIALS = ("", *rules.MATERIALS)
THINGS = (
    "", "cow", "zombie", "skeleton", "sapling", "plant-ripe",
    "arrow-left", "arrow-right", "arrow-up", "arrow-down",
    "player-left", "player-right", "player-up", "player-down", "player-sleep",
)  # fmt: skip
_THING_OF_KIND = {2: 1, 3: 2, 4: 3}
_FACING = {offset: FACINGS.index(name) for offset, name in rules.DIRECTION_NAME.items()}


def pack_view(world: World) -> bytes:
    """The picture of the current state; 10 us."""
    player = world.player
    view = bytearray(SIZE_BYTES)
    view[0] = VERSION
    left, top = player.x - HALF_X, player.y - HALF_Y
    width = rules.VIEW_WIDTH
    first, last = max(0, -top), min(rules.VIEW_HEIGHT, SIZE - top)  # rows inside the map
    for dx in range(max(0, -left), min(width, SIZE - left)):
        start = (left + dx) * SIZE + top
        column = slice(1 + first * width + dx, 1 + last * width, width)
        view[column] = world.materials[start + first : start + last]
    for thing in (player, *creatures_in_view(world)):
        at = 1 + (thing.y - top) * width + thing.x - left
        view[at] |= _thing_id(thing) << 4
    view[64] = _FACING[player.facing] | player.sleeping << 4 | world.dead << 5
    view[65] = round(255 * min(1.0, max(0.0, world.daylight)))
    view[66:82] = bytes(player.inventory.values())
    bits = sum(1 << i for i, count in enumerate(player.achievements.values()) if count)
    view[82:85] = bits.to_bytes(3, "little")
    view[85:87] = min(world.n_steps, 65535).to_bytes(2, "little")
    return bytes(view)


def _thing_id(thing: Object) -> int:
    if isinstance(thing, Player):
        return 14 if thing.sleeping else 10 + _FACING[thing.facing]
    if isinstance(thing, Arrow):
        return 6 + _FACING[(thing.dx, thing.dy)]
    if isinstance(thing, Plant):
        return 5 if thing.ripe else 4
    return _THING_OF_KIND[thing.kind]


def unpack_view(view: bytes) -> dict[str, Any]:
    """JSON-ready facts of a view: `tiles` are 7 rows of 9 pairs (material, thing).

    Raises TaskError for bytes that are no view of this version.
    """
    if len(view) != SIZE_BYTES or view[0] != VERSION:
        raise TaskError("not a view of version 1", retryable=False)
    rows = [view[1 + 9 * row : 10 + 9 * row] for row in range(7)]
    bits = int.from_bytes(view[82:85], "little")
    return {
        "tiles": [[(MATERIALS[tile & 15], THINGS[tile >> 4]) for tile in row] for row in rows],
        "facing": FACINGS[view[64] & 3],
        "sleeping": bool(view[64] & 16),
        "dead": bool(view[64] & 32),
        "daylight": round(view[65] / 255, 3),
        "inventory": dict(zip(ITEMS, view[66:82], strict=True)),
        "achievements": [name for i, name in enumerate(ACHIEVEMENTS) if bits >> i & 1],
        "n_steps": int.from_bytes(view[85:87], "little"),
    }
