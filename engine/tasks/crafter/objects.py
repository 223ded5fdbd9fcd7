"""What lives in the world besides the player: cows, zombies, skeletons, arrows, plants.

Lives here: their state and behaviour, step for step and draw for draw those of crafter 1.8.3
(`crafter/objects.py`, MIT, Danijar Hafner), on plain integers instead of arrays. The player is
`player.py`, the map `world.py`. Oddities of the original (a killed zombie may still strike in the
step of its removal) are kept: they are part of the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.tasks.crafter.rules import (
    ARROW_WALKABLE,
    FURNACE,
    PATH,
    SIZE,
    TABLE,
    WALKABLE,
)

if TYPE_CHECKING:
    from engine.tasks.crafter.player import Player
    from engine.tasks.crafter.world import World

RIPE = 300  # a plant that has grown longer than this can be eaten
_DIRECTIONS = ((-1, 0), (1, 0), (0, -1), (0, 1))


class Object:
    """A thing on one tile. `kind` is its id in snapshots and hashes."""

    __slots__ = ("chunk", "health", "index", "removed", "world", "x", "y")
    kind = 0
    walkable: frozenset[int] = WALKABLE

    def __init__(self, world: World, x: int, y: int, health: int = 0) -> None:
        self.world = world
        self.x, self.y = x, y
        self.health = health
        self.removed = False
        self.index = 0  # place in the world's list, from 1
        self.chunk = 0

    def update(self) -> None:
        """One step of its life."""

    def state(self) -> tuple[int, int]:
        """Two integers of its own, for snapshots and hashes."""
        return (0, 0)

    def hurt(self, damage: int, cause: str) -> None:
        """Lose health; `cause` matters to the player only."""
        self.health = max(0, self.health - damage)

    def move(self, dx: int, dy: int) -> bool:
        x, y = self.x + dx, self.y + dy
        if not self.is_free(x, y, self.walkable):
            return False
        self.world.move(self, x, y)
        return True

    def is_free(self, x: int, y: int, materials: frozenset[int]) -> bool:
        if not (0 <= x < SIZE and 0 <= y < SIZE):
            return False
        at = x * SIZE + y
        return self.world.object_at[at] is None and self.world.materials[at] in materials

    def distance(self, other: Object) -> int:
        return abs(other.x - self.x) + abs(other.y - self.y)

    def toward(self, other: Object, long_axis: bool = True) -> tuple[int, int]:
        dx, dy = other.x - self.x, other.y - self.y
        horizontal = abs(dx) > abs(dy) if long_axis else abs(dx) <= abs(dy)
        if horizontal:
            return ((dx > 0) - (dx < 0), 0)
        return (0, (dy > 0) - (dy < 0))


class Cow(Object):
    __slots__ = ()
    kind = 2

    def __init__(self, world: World, x: int, y: int) -> None:
        super().__init__(world, x, y, health=3)

    def update(self) -> None:
        if self.health <= 0:
            self.world.remove(self)
        if self.world.uniform() < 0.5:
            self.move(*_DIRECTIONS[self.world.integer(4)])


class Zombie(Object):
    __slots__ = ("cooldown", "player")
    kind = 3

    def __init__(self, world: World, x: int, y: int, player: Player) -> None:
        super().__init__(world, x, y, health=5)
        self.player = player
        self.cooldown = 0

    def state(self) -> tuple[int, int]:
        return (self.cooldown, 0)

    def update(self) -> None:
        if self.health <= 0:
            self.world.remove(self)
        uniform = self.world.uniform
        if self.distance(self.player) <= 8 and uniform() < 0.9:
            self.move(*self.toward(self.player, uniform() < 0.8))
        else:
            self.move(*_DIRECTIONS[self.world.integer(4)])
        if self.distance(self.player) <= 1:
            if self.cooldown:
                self.cooldown -= 1
            else:
                self.player.hurt(7 if self.player.sleeping else 2, "zombie")
                self.cooldown = 5


class Skeleton(Object):
    __slots__ = ("player", "reload")
    kind = 4

    def __init__(self, world: World, x: int, y: int, player: Player) -> None:
        super().__init__(world, x, y, health=3)
        self.player = player
        self.reload = 0

    def state(self) -> tuple[int, int]:
        return (self.reload, 0)

    def update(self) -> None:
        if self.health <= 0:
            self.world.remove(self)
        self.reload = max(0, self.reload - 1)
        uniform = self.world.uniform
        distance = self.distance(self.player)
        if distance <= 3:
            dx, dy = self.toward(self.player, uniform() < 0.6)
            if self.move(-dx, -dy):
                return
        if distance <= 5 and uniform() < 0.5:
            self._shoot(*self.toward(self.player))
        elif distance <= 8 and uniform() < 0.3:
            self.move(*self.toward(self.player, uniform() < 0.6))
        elif uniform() < 0.2:
            self.move(*_DIRECTIONS[self.world.integer(4)])

    def _shoot(self, dx: int, dy: int) -> None:
        if self.reload > 0 or (dx == 0 and dy == 0):
            return
        x, y = self.x + dx, self.y + dy
        if self.is_free(x, y, ARROW_WALKABLE):
            self.world.add(Arrow(self.world, x, y, dx, dy))
            self.reload = 4


class Arrow(Object):
    __slots__ = ("dx", "dy")
    kind = 5
    walkable = ARROW_WALKABLE

    def __init__(self, world: World, x: int, y: int, dx: int, dy: int) -> None:
        super().__init__(world, x, y)
        self.dx, self.dy = dx, dy

    def state(self) -> tuple[int, int]:
        return (self.dx, self.dy)

    def update(self) -> None:
        x, y = self.x + self.dx, self.y + self.dy
        if not (0 <= x < SIZE and 0 <= y < SIZE):
            self.world.remove(self)
            return
        at = x * SIZE + y
        hit = self.world.object_at[at]
        if hit is not None:
            hit.hurt(2, "arrow")
            self.world.remove(self)
        elif self.world.materials[at] not in ARROW_WALKABLE:
            self.world.remove(self)
            if self.world.materials[at] in (TABLE, FURNACE):
                self.world.set_material(at, PATH)
        else:
            self.move(self.dx, self.dy)


class Plant(Object):
    __slots__ = ("grown",)
    kind = 6

    def __init__(self, world: World, x: int, y: int) -> None:
        super().__init__(world, x, y, health=1)
        self.grown = 0

    @property
    def ripe(self) -> bool:
        return self.grown > RIPE

    def state(self) -> tuple[int, int]:
        return (self.grown, 0)

    def update(self) -> None:
        self.grown += 1
        neighbours = (self.world.object_near(self.x + dx, self.y + dy) for dx, dy in _DIRECTIONS)
        if any(isinstance(other, Zombie | Skeleton | Cow) for other in neighbours):
            self.hurt(1, "trampled")
        if self.health <= 0:
            self.world.remove(self)
