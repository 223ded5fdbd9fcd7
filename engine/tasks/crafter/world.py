"""The world: stock Crafter's rules, mended so that seed and actions decide everything.

Lives here: the map, its objects, the random numbers, a step, the state hash. Creatures are
`objects.py`, the player `player.py`, new worlds `worldgen.py`, the file form `snapshot.py`.

Two mends against crafter 1.8.3 (MIT, Danijar Hafner): chunks keep the order in which objects came
(stock: sets ordered by memory address, another game in every process), and nothing but the game
draws from the world's random numbers (stock: the night noise of every rendered picture does).
A test plays this world and stock's own classes with these two mends side by side.

Positions are `x * SIZE + y`. The generator is the Mersenne Twister of numpy's RandomState (Python's
`random` has the same stream), ten times cheaper to draw from.
"""

from __future__ import annotations

import hashlib
import math
import random
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from engine.tasks.crafter.difficulty import get_difficulty
from engine.tasks.crafter.objects import Cow, Object, Skeleton, Zombie
from engine.tasks.crafter.player import Player
from engine.tasks.crafter.rules import CHUNK, GRASS, LENGTH, MATERIALS, N_CHUNKS, NEAR, PATH, SIZE

if TYPE_CHECKING:
    from engine.tasks.crafter.difficulty import Herd

DAY = 300  # steps
# Rounded, so that the last bit of another machine's cosine cannot change a game.
_DAYLIGHT = tuple(
    round(1 - abs(math.cos(math.pi * (step / DAY + 0.3))) ** 3, 12) for step in range(DAY)
)


def daylight_at(step: int) -> float:
    """0 (night) to 1, for a step of the day."""
    return _DAYLIGHT[step % DAY]


_CHUNK_OF = tuple(
    (x // CHUNK) * N_CHUNKS + y // CHUNK for x in range(SIZE) for y in range(SIZE)
)  # position -> chunk
_TILES_OF: tuple[tuple[int, ...], ...] = tuple(
    tuple(at for at in range(SIZE * SIZE) if _CHUNK_OF[at] == chunk)
    for chunk in range(N_CHUNKS * N_CHUNKS)
)  # chunk -> positions, x before y as in stock
_COLUMNS_OF = tuple(
    tuple(slice(at, at + sum(tile // SIZE == at // SIZE for tile in tiles)) for at in firsts)
    for tiles in _TILES_OF
    for firsts in [[at for at in tiles if at - 1 not in tiles]]
)  # chunk -> the same positions as slices of the map, one an x
_KNOWN = bytes(range(len(MATERIALS) + 1))
_COUNTED = (GRASS, PATH)  # materials that decide where creatures appear


Creature = type[Zombie] | type[Skeleton] | type[Cow]


class _Quota(NamedTuple):
    """How many of a kind may live in one chunk now; `least` only with `room` tiles of `ground`."""

    kind: Creature
    ground: int
    room: int
    least: int
    most: int
    figures: Herd


class World:
    """One world in play. Build it with `worldgen.generate` or `snapshot.decode_world`."""

    def __init__(self, seed: int, difficulty: str = "normal") -> None:
        self.seed = seed
        self.difficulty = difficulty
        self.figures = get_difficulty(difficulty)
        self.n_steps = 0
        self.daylight = _DAYLIGHT[0]
        self.materials = bytearray(SIZE * SIZE)
        self.object_at: list[Object | None] = [None] * (SIZE * SIZE)
        self.objects: dict[Object, None] = {}  # insertion-ordered
        self.chunks: dict[int, dict[Object, None]] = {}  # insertion-ordered, in both levels
        self.counts = {material: [0] * len(_TILES_OF) for material in _COUNTED}  # in each chunk
        self.random = random.Random()
        self.uniform: Callable[[], float] = self.random.random
        self.player = Player(self, SIZE // 2, SIZE // 2)
        self.last_health = self.player.health

    # -- random numbers ---------------------------------------------------------------------

    def integer(self, n: int) -> int:
        """A number below n, drawn as RandomState.randint(0, n) draws it (masked rejection)."""
        if n == 1:
            return 0
        mask = (1 << (n - 1).bit_length()) - 1
        while True:
            value = self.random.getrandbits(32) & mask
            if value < n:
                return value

    # -- the map ----------------------------------------------------------------------------

    def set_material(self, at: int, material: int) -> None:
        for changed, change in ((self.materials[at], -1), (material, 1)):
            if changed in _COUNTED:
                self.counts[changed][_CHUNK_OF[at]] += change
        self.materials[at] = material

    def set_materials(self, materials: bytes) -> None:
        """Replace the whole map. Raises ValueError for another size or an unknown material."""
        if len(materials) != SIZE * SIZE or materials.translate(None, _KNOWN):
            raise ValueError("not a map of this game")
        self.materials[:] = materials
        for chunk, columns in enumerate(_COLUMNS_OF):
            inside = b"".join([materials[column] for column in columns])
            for material, counts in self.counts.items():
                counts[chunk] = inside.count(material)

    def object_near(self, x: int, y: int) -> Object | None:
        """What stands on a tile that may lie outside."""
        if 0 <= x < SIZE and 0 <= y < SIZE:
            return self.object_at[x * SIZE + y]
        return None

    def is_nearby(self, x: int, y: int, material: int) -> bool:
        """Whether `material` is in the 3 x 3 tiles around; never in the first row or column.

        Stock's slice starts at -1 there and is empty.
        """
        if x < 1 or y < 1:
            return False
        materials = self.materials
        return any(
            material in materials[column * SIZE + y - 1 : column * SIZE + min(y + 2, SIZE)]
            for column in range(x - 1, min(x + 2, SIZE))
        )

    # -- objects ----------------------------------------------------------------------------

    def add(self, new: Object) -> None:
        at = new.x * SIZE + new.y
        self.objects[new] = None
        self.object_at[at] = new
        new.chunk = _CHUNK_OF[at]
        self.chunks.setdefault(new.chunk, {})[new] = None

    def remove(self, old: Object) -> None:
        if old.removed:
            return
        del self.objects[old]
        self.object_at[old.x * SIZE + old.y] = None
        del self.chunks[old.chunk][old]
        old.removed = True

    def move(self, moved: Object, x: int, y: int) -> None:
        """Put an object on a free tile; one already removed stays where it was."""
        if moved.removed:
            return
        at = x * SIZE + y
        self.object_at[moved.x * SIZE + moved.y] = None
        self.object_at[at] = moved
        moved.x, moved.y = x, y
        chunk = _CHUNK_OF[at]
        if chunk != moved.chunk:
            del self.chunks[moved.chunk][moved]
            self.chunks.setdefault(chunk, {})[moved] = None
            moved.chunk = chunk

    # -- a step -----------------------------------------------------------------------------

    def step(self, action: str) -> float:
        """Play one action; the change of health in tenths is returned (part of the reward)."""
        self.n_steps += 1
        self.daylight = _DAYLIGHT[self.n_steps % DAY]
        player = self.player
        player.action = action
        for thing in list(self.objects):
            if abs(thing.x - player.x) + abs(thing.y - player.y) < NEAR:
                thing.update()
        if self.n_steps % 10 == 0:
            self._balance_chunks()
        change = (player.health - self.last_health) / 10
        self.last_health = player.health
        return change

    @property
    def dead(self) -> bool:
        return self.player.health <= 0

    @property
    def over(self) -> bool:
        """Dead, or stock's length of an episode is reached."""
        return self.dead or self.n_steps >= LENGTH

    def _balance_chunks(self) -> None:
        """Spawn and despawn, chunk by chunk, in stock's order: zombies, skeletons, cows."""
        quotas, counts = self._quotas(), self.counts
        for chunk, inside in list(self.chunks.items()):
            kinds = [type(thing) for thing in inside]
            for quota in quotas:
                n = kinds.count(quota.kind)
                least = quota.least if counts[quota.ground][chunk] >= quota.room else 0
                if n < least:
                    if self.uniform() < quota.figures.spawn_rate:
                        self._spawn_in(chunk, quota)
                elif n > quota.most and self.uniform() < quota.figures.despawn_rate:
                    self._despawn_in(inside, quota)

    def _quotas(self) -> tuple[_Quota, ...]:
        """How many creatures a chunk may hold at this time of the day."""
        light, figures = self.daylight, self.figures
        zombies = max(0.0, figures.zombie.most - 3 * light)
        skeletons = figures.skeleton.most
        cows = max(0.0, figures.cow.most - 1 + light)
        return (
            _Quota(Zombie, GRASS, 50, int(zombies), int(zombies), figures.zombie),
            _Quota(Skeleton, PATH, 6, int(min(1, skeletons)), int(skeletons), figures.skeleton),
            _Quota(Cow, GRASS, 30, int(min(1, cows)), int(cows), figures.cow),
        )

    def _spawn_in(self, chunk: int, quota: _Quota) -> None:
        places = [at for at in _TILES_OF[chunk] if self.materials[at] == quota.ground]
        at = places[self.integer(len(places))]
        x, y = divmod(at, SIZE)
        far = abs(self.player.x - x) + abs(self.player.y - y) >= quota.figures.spawn_distance
        if self.object_at[at] is None and far:
            self.spawn(quota.kind, x, y)

    def _despawn_in(self, inside: dict[Object, None], quota: _Quota) -> None:
        creatures = [thing for thing in inside if type(thing) is quota.kind]
        creature = creatures[self.integer(len(creatures))]
        if self.player.distance(creature) >= quota.figures.despawn_distance:
            self.remove(creature)

    def spawn(self, kind: Creature, x: int, y: int) -> None:
        """Add a creature on a free tile."""
        if kind is Cow:
            self.add(Cow(self, x, y))
        elif kind is Zombie:
            self.add(Zombie(self, x, y, self.player))
        else:
            self.add(Skeleton(self, x, y, self.player))

    # -- the state in one number -------------------------------------------------------------

    def state_hash(self) -> str:
        """16 hex digits over map, objects, player, random numbers and step; about 30 us.

        Of the generator's 624 words the position and four words are hashed: they tell any two
        points of one stream apart.
        """
        digest = hashlib.blake2b(self.materials, digest_size=8)
        numbers: list[int] = []
        for thing in self.objects:
            numbers += (thing.kind, thing.x, thing.y, thing.health, *thing.state())
        player = self.player
        numbers += player.inventory.values()
        numbers += player.achievements.values()
        numbers += player.counters()
        words = self.random.getstate()[1]
        numbers += (self.n_steps, words[-1], words[0], words[1], words[300], words[623])
        digest.update(struct.pack(f"<{len(numbers)}q", *numbers))
        return digest.hexdigest()
