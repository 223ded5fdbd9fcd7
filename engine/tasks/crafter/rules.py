"""The rules of the game as data: read from the installed crafter's own data.yaml, never copied.

Lives here: names, ids, recipes, difficulties. What happens in a step is `world.py`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import NamedTuple


def _find_package() -> Path:
    """Where crafter lies, without importing it: that brings NumPy and Numba, 75 MB."""
    found = importlib.util.find_spec("crafter")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'crafter'", name="crafter")
    return Path(found.submodule_search_locations[0])


def _load_constants() -> ModuleType:
    spec = importlib.util.spec_from_file_location("_crafter_constants", PACKAGE / "constants.py")
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("crafter has no constants", name="crafter.constants")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PACKAGE = _find_package()  # textures lie in its assets/
_stock = _load_constants()

WORLD_VERSION = "crafter-1.8.3+d1"
SIZE = 64  # the map is SIZE x SIZE, as in stock Crafter
CHUNK = 12
N_CHUNKS = -(-SIZE // CHUNK)  # chunks along one side
VIEW = 9  # stock's view is 9 x 9, the last two rows of it are the inventory
VIEW_WIDTH, VIEW_HEIGHT = 9, 7
LENGTH = 10_000  # stock ends an episode after so many steps
NEAR = 2 * VIEW  # objects farther away than this stand still

ACTIONS: tuple[str, ...] = tuple(_stock.actions)
MATERIALS: tuple[str, ...] = tuple(_stock.materials)
ITEMS: tuple[str, ...] = tuple(_stock.items)
ACHIEVEMENTS: tuple[str, ...] = tuple(_stock.achievements)
MAXIMUM: dict[str, int] = {name: item["max"] for name, item in _stock.items.items()}
INITIAL: dict[str, int] = {name: item["initial"] for name, item in _stock.items.items()}
VITALS = ("health", "food", "drink", "energy")

# Material ids are stock's: 0 is nothing, then the order of data.yaml.
MATERIAL_ID: dict[str, int] = {name: index for index, name in enumerate(MATERIALS, start=1)}
WALKABLE = frozenset(MATERIAL_ID[name] for name in _stock.walkable)
WATER, GRASS, PATH = MATERIAL_ID["water"], MATERIAL_ID["grass"], MATERIAL_ID["path"]
LAVA, TABLE, FURNACE = MATERIAL_ID["lava"], MATERIAL_ID["table"], MATERIAL_ID["furnace"]
PLAYER_WALKABLE = WALKABLE | {LAVA}
ARROW_WALKABLE = WALKABLE | {WATER, LAVA}

DIRECTIONS: dict[str, tuple[int, int]] = {
    "left": (-1, 0),
    "right": (1, 0),
    "up": (0, -1),
    "down": (0, 1),
}
DIRECTION_NAME = {offset: name for name, offset in DIRECTIONS.items()}


class Collect(NamedTuple):
    require: dict[str, int]
    receive: dict[str, int]
    leaves: int
    probability: float


class Place(NamedTuple):
    uses: dict[str, int]
    where: frozenset[int]
    is_plant: bool
    material: int


class Make(NamedTuple):
    uses: dict[str, int]
    nearby: tuple[int, ...]
    gives: int


COLLECT: dict[int, Collect] = {
    MATERIAL_ID[name]: Collect(
        info["require"], info["receive"], MATERIAL_ID[info["leaves"]], info.get("probability", 1)
    )
    for name, info in _stock.collect.items()
}
PLACE: dict[str, Place] = {
    name: Place(
        info["uses"],
        frozenset(MATERIAL_ID[where] for where in info["where"]),
        info["type"] == "object",
        MATERIAL_ID.get(name, 0),
    )
    for name, info in _stock.place.items()
}
MAKE: dict[str, Make] = {
    name: Make(info["uses"], tuple(MATERIAL_ID[x] for x in info["nearby"]), info["gives"])
    for name, info in _stock.make.items()
}
