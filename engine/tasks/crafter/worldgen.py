"""New worlds: stock Crafter's terrain (crafter/worldgen.py, MIT), each tile as stock decides it.

The noise is opensimplex, compiled by numba where it is installed: 20 ms a world instead of a
second. Both are imported on first use only: most games start from a snapshot (`store.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from engine.tasks.crafter.difficulty import Difficulty
from engine.tasks.crafter.objects import Cow, Skeleton, Zombie
from engine.tasks.crafter.rules import GRASS, MATERIAL_ID, PATH, SIZE, WALKABLE
from engine.tasks.crafter.world import World

Noise = Callable[[float, float, float, float], float]  # x, y, z, size


def generate(seed: int, difficulty: str) -> World:
    """The fresh world of a seed: the same tiles and creatures as stock's first reset."""
    world = World(seed, difficulty)
    # Stock's own formula; the hash of integers is the same in every CPython of 64 bits.
    stream = np.random.RandomState(hash((seed, 1)) % (2**31 - 1))
    noise = _noise(int(stream.randint(0, 2**31 - 1)))
    _, words, position, _, _ = stream.get_state(legacy=True)
    world.random.setstate((3, (*(int(word) for word in words), int(position)), None))
    world.add(world.player)
    tunnels = _make_terrain(world, noise)
    _add_creatures(world, tunnels)
    return world


def _noise(seed: int) -> Noise:
    import opensimplex
    from opensimplex.internals import _noise3

    simplex = opensimplex.OpenSimplex(seed=seed)
    perm, gradients = simplex._perm, simplex._perm_grad_index3

    def noise(x: float, y: float, z: float, size: float) -> float:
        return float(_noise3(x / size, y / size, z, perm, gradients))

    return noise


def _make_terrain(world: World, noise: Noise) -> set[int]:
    """Set every tile's material; the positions of tunnels are returned."""
    tunnels: set[int] = set()
    player, uniform, figures = world.player, world.uniform, world.figures
    tiles = bytearray(SIZE * SIZE)
    for x in range(SIZE):
        for y in range(SIZE):
            start = 4 - math.sqrt((x - player.x) ** 2 + (y - player.y) ** 2)
            start += 2 * noise(x, y, 8, 3)
            start = 1 / (1 + math.exp(-start))
            if start > 0.5:
                tiles[x * SIZE + y] = GRASS
                continue
            water = noise(x, y, 3, 15) + 0.15 * noise(x, y, 3, 5) + 0.1
            water -= 2 * start
            mountain = (noise(x, y, 0, 15) + 0.3 * noise(x, y, 0, 5)) / 1.3
            mountain -= 4 * start + 0.3 * water
            if mountain > 0.15:
                name = _mountain(x, y, mountain, noise, uniform, figures)
                if name == "tunnel":
                    tunnels.add(x * SIZE + y)
                    name = "path"
            else:
                name = _lowland(x, y, water, noise, uniform, figures)
            tiles[x * SIZE + y] = MATERIAL_ID[name]
    world.set_materials(bytes(tiles))
    return tunnels


def _mountain(
    x: int,
    y: int,
    mountain: float,
    noise: Noise,
    uniform: Callable[[], float],
    figures: Difficulty,
) -> str:
    if noise(x, y, 6, 7) > 0.15 and mountain > 0.3:  # cave
        return "path"
    if noise(2 * x, y / 5, 7, 3) > 0.4 or noise(x / 5, 2 * y, 7, 3) > 0.4:
        return "tunnel"
    coal, iron, diamond = figures.coal, figures.iron, figures.diamond
    if noise(x, y, 1, 8) > coal.threshold and uniform() > 1 - coal.probability:
        return "coal"
    if noise(x, y, 2, 6) > iron.threshold and uniform() > 1 - iron.probability:
        return "iron"
    if mountain > diamond.threshold and uniform() > 1 - diamond.probability:
        return "diamond"
    if mountain > 0.3 and noise(x, y, 6, 5) > figures.lava_threshold:
        return "lava"
    return "stone"


def _lowland(
    x: int,
    y: int,
    water: float,
    noise: Noise,
    uniform: Callable[[], float],
    figures: Difficulty,
) -> str:
    if 0.25 < water <= 0.35 and noise(x, y, 4, 9) > -0.2:
        return "sand"
    if water > 0.3:
        return "water"
    if noise(x, y, 5, 7) > figures.tree.threshold and uniform() > 1 - figures.tree.probability:
        return "tree"
    return "grass"


def _add_creatures(world: World, tunnels: set[int]) -> None:
    player, uniform, figures = world.player, world.uniform, world.figures
    cow, zombie, skeleton = figures.cow, figures.zombie, figures.skeleton
    for at, material in enumerate(world.materials):
        if material not in WALKABLE:
            continue
        x, y = divmod(at, SIZE)
        distance = math.sqrt((x - player.x) ** 2 + (y - player.y) ** 2)
        if distance > cow.distance and material == GRASS and uniform() > 1 - cow.spread:
            world.spawn(Cow, x, y)
        elif distance > zombie.distance and uniform() > 1 - zombie.spread:
            world.spawn(Zombie, x, y)
        elif material == PATH and at in tunnels and uniform() > 1 - skeleton.spread:
            world.spawn(Skeleton, x, y)
