"""The player: what an action does, hunger, thirst, sleep and health, as in crafter 1.8.3 (MIT)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.tasks.crafter.objects import Cow, Object, Plant, Skeleton, Zombie
from engine.tasks.crafter.rules import (
    ACHIEVEMENTS,
    COLLECT,
    DIRECTIONS,
    INITIAL,
    LAVA,
    MAKE,
    MAXIMUM,
    PLACE,
    PLAYER_WALKABLE,
    SIZE,
    WATER,
)

if TYPE_CHECKING:
    from engine.tasks.crafter.world import World


class Player(Object):
    """`last_harm` names what took the last point of health: it becomes the cause of death."""

    __slots__ = (
        "achievements",
        "action",
        "facing",
        "fatigue",
        "hunger",
        "inventory",
        "last_harm",
        "last_health",
        "recover",
        "sleeping",
        "thirst",
    )
    kind = 1
    walkable = PLAYER_WALKABLE

    def __init__(self, world: World, x: int, y: int) -> None:
        self.inventory = dict(INITIAL)
        super().__init__(world, x, y, health=INITIAL["health"])
        self.achievements = dict.fromkeys(ACHIEVEMENTS, 0)
        self.facing = (0, 1)
        self.action = "noop"
        self.sleeping = False
        self.last_health = self.health
        self.hunger = self.thirst = self.fatigue = self.recover = 0.0
        self.last_harm = ""

    @property
    def health(self) -> int:
        return self.inventory["health"]

    @health.setter
    def health(self, value: int) -> None:
        self.inventory["health"] = max(0, value)

    def hurt(self, damage: int, cause: str) -> None:
        self.last_harm = cause
        self.health -= damage

    def target(self) -> tuple[int, int]:
        """The tile in front of the player; may lie outside the map."""
        return self.x + self.facing[0], self.y + self.facing[1]

    def update(self) -> None:
        action = self.action
        if self.sleeping:
            if self.inventory["energy"] < MAXIMUM["energy"]:
                action = "sleep"
            else:
                self.sleeping = False
                self.achievements["wake_up"] += 1
        self._act(action)
        self._update_life_stats()
        self._change_health()
        inventory = self.inventory
        for name, amount in inventory.items():
            if amount > MAXIMUM[name]:
                inventory[name] = MAXIMUM[name]
            elif amount < 0:
                inventory[name] = 0
        # Behind the clamping, because it compares clamped health.
        if self.health < self.last_health:
            self.sleeping = False
        self.last_health = self.health

    def _act(self, action: str) -> None:
        if action == "noop":
            return
        if action.startswith("move_"):
            self._move(action[5:])
        elif action == "do":
            self._do()
        elif action == "sleep":
            if self.inventory["energy"] < MAXIMUM["energy"]:
                self.sleeping = True
        elif action.startswith("place_"):
            self._place(action[6:])
        elif action.startswith("make_"):
            self._make(action[5:])

    def _move(self, direction: str) -> None:
        self.facing = DIRECTIONS[direction]
        self.move(*self.facing)
        if self.world.materials[self.x * SIZE + self.y] == LAVA:
            self.last_harm = "lava"
            self.health = 0

    def _do(self) -> None:
        x, y = self.target()
        if not (0 <= x < SIZE and 0 <= y < SIZE):
            return
        found = self.world.object_at[x * SIZE + y]
        if found is not None:
            self._do_object(found)
        else:
            self._collect(x * SIZE + y)

    def damage(self) -> int:
        """What one blow takes from a creature."""
        have = self.inventory
        if have["iron_sword"]:
            return 5
        if have["stone_sword"]:
            return 3
        return 2 if have["wood_sword"] else 1

    def _do_object(self, found: Object) -> None:
        if isinstance(found, Plant):
            if found.ripe:
                found.grown = 0
                self.inventory["food"] += 4
                self.achievements["eat_plant"] += 1
        elif isinstance(found, Zombie | Skeleton | Cow):
            found.hurt(self.damage(), "player")
            if found.health > 0:
                return
            if isinstance(found, Cow):
                self.inventory["food"] += 6
                self.achievements["eat_cow"] += 1
                self.hunger = 0.0
            else:
                name = "zombie" if isinstance(found, Zombie) else "skeleton"
                self.achievements[f"defeat_{name}"] += 1

    def _collect(self, at: int) -> None:
        material = self.world.materials[at]
        if material == WATER:
            self.thirst = 0.0
        info = COLLECT.get(material)
        if info is None:
            return
        if any(self.inventory[name] < amount for name, amount in info.require.items()):
            return
        self.world.set_material(at, info.leaves)
        if self.world.uniform() <= info.probability:
            for name, amount in info.receive.items():
                self.inventory[name] += amount
                self.achievements[f"collect_{name}"] += 1

    def can_place(self, name: str) -> bool:
        """Whether `place_name` would work on the tile in front."""
        x, y = self.target()
        if not (0 <= x < SIZE and 0 <= y < SIZE):
            return False
        info, at = PLACE[name], x * SIZE + y
        if self.world.object_at[at] is not None or self.world.materials[at] not in info.where:
            return False
        return all(self.inventory[item] >= amount for item, amount in info.uses.items())

    def _place(self, name: str) -> None:
        if not self.can_place(name):
            return
        info = PLACE[name]
        x, y = self.target()
        for item, amount in info.uses.items():
            self.inventory[item] -= amount
        if info.is_plant:
            self.world.add(Plant(self.world, x, y))
        else:
            self.world.set_material(x * SIZE + y, info.material)
        self.achievements[f"place_{name}"] += 1

    def can_make(self, name: str) -> bool:
        """Whether `make_name` would work here and now."""
        info = MAKE[name]
        if any(self.inventory[item] < amount for item, amount in info.uses.items()):
            return False
        return all(self.world.is_nearby(self.x, self.y, needed) for needed in info.nearby)

    def _make(self, name: str) -> None:
        if not self.can_make(name):
            return
        info = MAKE[name]
        for item, amount in info.uses.items():
            self.inventory[item] -= amount
        self.inventory[name] += info.gives
        self.achievements[f"make_{name}"] += 1

    def _update_life_stats(self) -> None:
        have = self.inventory
        self.hunger += 0.5 if self.sleeping else 1
        if self.hunger > 25:
            self.hunger = 0.0
            have["food"] -= 1
        self.thirst += 0.5 if self.sleeping else 1
        if self.thirst > 20:
            self.thirst = 0.0
            have["drink"] -= 1
        self.fatigue = min(self.fatigue - 1, 0.0) if self.sleeping else self.fatigue + 1
        if self.fatigue < -10:
            self.fatigue = 0.0
            have["energy"] += 1
        if self.fatigue > 30:
            self.fatigue = 0.0
            have["energy"] -= 1

    def _change_health(self) -> None:
        have = self.inventory
        fed = have["food"] > 0 and have["drink"] > 0 and (have["energy"] > 0 or self.sleeping)
        if fed:
            self.recover += 2 if self.sleeping else 1
        else:
            self.recover -= 0.5 if self.sleeping else 1
        if self.recover > 25:
            self.recover = 0.0
            self.health += 1
        if self.recover < -15:
            self.recover = 0.0
            lacking = [name for name in ("food", "drink", "energy") if have[name] <= 0]
            self.hurt(1, f"no {' and no '.join(lacking)}")

    def counters(self) -> tuple[int, ...]:
        """What the inventory does not show, as integers (half steps doubled)."""
        return (
            *self.facing,
            int(self.sleeping),
            self.last_health,
            int(2 * self.hunger),
            int(2 * self.thirst),
            int(2 * self.fatigue),
            int(2 * self.recover),
        )

    def set_counters(self, values: tuple[int, ...]) -> None:
        """Undo `counters`."""
        dx, dy, sleeping, self.last_health, *doubled = values
        self.facing, self.sleeping = (dx, dy), bool(sleeping)
        self.hunger, self.thirst, self.fatigue, self.recover = (value / 2 for value in doubled)
