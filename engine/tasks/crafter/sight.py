"""What the player has seen, and how to walk there.

Lives here: the memory of seen tiles and the routes over them. The words are `text.py`. Memory is no
part of the rules: it follows from the steps played, however often a text or picture was made.

Seen tiles are kept with a border, so that no walk needs a bounds check: position (x, y) of the map
is `(x + BORDER) * WIDTH + y + BORDER`; 0 is unseen, 255 outside the map.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.tasks.crafter.objects import Object, Plant
from engine.tasks.crafter.rules import (
    MATERIAL_ID,
    MATERIALS,
    SIZE,
    VIEW_HEIGHT,
    VIEW_WIDTH,
    WALKABLE,
)
from engine.tasks.crafter.world import World

BORDER = 8
WIDTH = SIZE + 2 * BORDER
OUTSIDE = 255
HALF_X, HALF_Y = VIEW_WIDTH // 2, VIEW_HEIGHT // 2
FAR = 9  # presses; what is farther is not told
STRAIGHT_ON = 4  # unseen tiles
LOOK_AHEAD = 5  # presses; how far a walk to unseen land looks
MOVES = (("left", -WIDTH), ("right", WIDTH), ("up", -1), ("down", 1))
_PRESS = {offset: name for name, offset in MOVES}
_WALKABLE = bytes(1 if tile in WALKABLE else 0 for tile in range(256))
NAMES = {1: "player", 2: "cow", 3: "zombie", 4: "skeleton", 5: "arrow", 6: "plant"}  # by kind
_THINGS = ("cow", "zombie", "skeleton", "plant", "sapling", "arrow")
_THING, _REACHED = 128, 254
_KIND_OF = [""] * 256  # value in a search's grid -> the kind that stands in the way
for _name in MATERIALS:
    if MATERIAL_ID[_name] not in WALKABLE:
        _KIND_OF[MATERIAL_ID[_name]] = _name
_KIND_OF[_THING : _THING + len(_THINGS)] = _THINGS

_ROW = bytes([OUTSIDE] * BORDER + [0] * SIZE + [OUTSIDE] * BORDER)
_EMPTY = bytes([OUTSIDE] * BORDER * WIDTH) + _ROW * SIZE + bytes([OUTSIDE] * BORDER * WIDTH)

Route = tuple[str, ...]  # ("left", "left", "up"): presses


class Sight(NamedTuple):
    """Routes to the nearest of each kind; `new` leads to unseen land (empty: nowhere)."""

    routes: dict[str, Route]
    new: Route


class Memory:
    """The tiles seen so far; call `look` after every step."""

    def __init__(self, seen: bytes = b"") -> None:
        self.seen = bytearray(_EMPTY)
        for x in range(len(seen) // SIZE):
            row = seen[x * SIZE : (x + 1) * SIZE]
            start = (x + BORDER) * WIDTH + BORDER
            self.seen[start : start + len(row)] = row

    def look(self, world: World) -> None:
        """Remember the tiles in view."""
        player, materials, seen = world.player, world.materials, self.seen
        top, bottom = max(0, player.y - HALF_Y), min(SIZE, player.y + HALF_Y + 1)
        for x in range(max(0, player.x - HALF_X), min(SIZE, player.x + HALF_X + 1)):
            start = (x + BORDER) * WIDTH + BORDER
            seen[start + top : start + bottom] = materials[x * SIZE + top : x * SIZE + bottom]

    def pack(self) -> bytes:
        """SIZE * SIZE bytes without the border, for `Memory(seen)`."""
        starts = ((x + BORDER) * WIDTH + BORDER for x in range(SIZE))
        return b"".join(bytes(self.seen[start : start + SIZE]) for start in starts)


def creatures_in_view(world: World) -> list[Object]:
    """Everything but the player that stands in the 9 x 7 tiles, in order of the rows."""
    player, object_at = world.player, world.object_at
    top, bottom = max(0, player.y - HALF_Y), min(SIZE, player.y + HALF_Y + 1)
    found = [
        thing
        for x in range(max(0, player.x - HALF_X), min(SIZE, player.x + HALF_X + 1))
        for thing in object_at[x * SIZE + top : x * SIZE + bottom]
        if thing is not None and thing is not player
    ]
    found.sort(key=_row)
    return found


def _row(thing: Object) -> int:
    return thing.y


def find_routes(world: World, memory: Memory) -> Sight:
    """The shortest walk to the nearest of each kind, over tiles seen, around what is in view.

    A route's presses end facing the thing: the last one turns, because the thing blocks the way.
    Horizontal before vertical where both are as short.
    """
    player, seen = world.player, memory.seen
    home = (player.x + BORDER) * WIDTH + player.y + BORDER
    heading = player.facing[0] * WIDTH + player.facing[1]
    search = _Search(home, _things(world), seen)
    ahead = search.kind_at(home + heading)
    routes: dict[str, Route] = {}
    for kind, (tile, press) in search.ends.items():
        here = tile == home and ahead == kind
        routes[kind] = () if here else (*search.walk(tile), press)
    return Sight(routes, tuple(_way_to_unseen(search, heading)))


class _Search:
    """Breadth first from `home`: `rings[n]` are the tiles n presses away.

    `came` tells from where a tile was reached, `ends` for each kind of thing
    the tile before the nearest one and the press that turns to it. Tiles reached are marked in a
    copy of the seen tiles, things too (_THING + index of their kind): one look-up decides a tile.
    """

    def __init__(self, home: int, things: dict[int, str], seen: bytearray) -> None:
        self.seen = seen
        self.grid = bytearray(seen)
        for tile, kind in things.items():
            self.grid[tile] = _THING + _THINGS.index(kind)
        self.grid[home] = _REACHED
        self.came: dict[int, int] = {home: home}
        self.ends: dict[str, tuple[int, str]] = {}
        self.rings: list[list[int]] = [[home]]
        while self.rings[-1] and len(self.rings) <= FAR:
            self.rings.append(self._next_ring())
        if not self.rings[-1]:
            self.rings.pop()

    def kind_at(self, tile: int) -> str:
        """The kind that blocks the way there; "" for a tile to walk on, unseen or outside."""
        return _KIND_OF[self.grid[tile]]

    def walk(self, tile: int) -> list[str]:
        """The presses from home to a tile reached."""
        presses: list[str] = []
        while (before := self.came[tile]) != tile:
            presses.append(_PRESS[tile - before])
            tile = before
        return presses[::-1]

    def _next_ring(self) -> list[int]:
        came, grid, ends = self.came, self.grid, self.ends
        ring: list[int] = []
        for tile in self.rings[-1]:
            for name, offset in MOVES:
                beside = tile + offset
                value = grid[beside]
                if _WALKABLE[value]:
                    grid[beside] = _REACHED
                    came[beside] = tile
                    ring.append(beside)
                elif value != _REACHED and (kind := _KIND_OF[value]) and kind not in ends:
                    ends[kind] = (tile, name)
        return ring


def _things(world: World) -> dict[int, str]:
    things = {}
    for thing in creatures_in_view(world):
        name = NAMES[thing.kind]
        if isinstance(thing, Plant) and not thing.ripe:
            name = "sapling"
        things[(thing.x + BORDER) * WIDTH + thing.y + BORDER] = name
    return things


def _way_to_unseen(search: _Search, heading: int) -> list[str]:
    """Presses towards the most unseen tiles: about five steps away, else the first that shows any.

    Going on straight is worth some tiles more, so that two turns do not undo each other.
    """
    rings, offsets = search.rings, dict(MOVES)
    near = min(LOOK_AHEAD, len(rings) - 1)
    for ring in (rings[near], *rings[near + 1 :], *rings[near - 1 : 0 : -1]):
        best, best_score = -1, 0
        for tile in ring:
            score = _n_unseen(search.seen, tile)
            if not score or score + STRAIGHT_ON <= best_score:
                continue
            if ring is not rings[0] and offsets[search.walk(tile)[0]] == heading:
                score += STRAIGHT_ON
            if score > best_score:
                best, best_score = tile, score
        if best >= 0:
            return search.walk(best)
    return []


def _n_unseen(seen: bytearray, tile: int) -> int:
    """How many unseen tiles the view from `tile` would show."""
    first = tile - HALF_X * WIDTH - HALF_Y
    total = 0
    for at in range(first, first + VIEW_WIDTH * WIDTH, WIDTH):
        total += seen.count(0, at, at + VIEW_HEIGHT)
    return total
