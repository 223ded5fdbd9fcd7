"""How hard a world is: what it is made of and what spawns in it.

`normal` is stock Crafter. The other three take the figures of the presets of the same names that
synth-ai's crafter_custom ships (its water, sand and cave keys have no counterpart in stock rules).
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Ore:
    """A material appears where its noise is above `threshold`, with `probability`."""

    threshold: float
    probability: float


@dataclass(frozen=True, slots=True)
class Herd:
    """A kind of creature: `spread` at the start of the world, then the balance every 10 steps.

    `distance` and `spawn_distance` are the least distances to the player, `most` the ceiling of
    the number in a chunk (zombies and cows: it follows the daylight).
    """

    spread: float
    distance: float
    spawn_distance: int
    despawn_distance: int
    spawn_rate: float
    despawn_rate: float
    most: float


@dataclass(frozen=True, slots=True)
class Difficulty:
    coal: Ore
    iron: Ore
    diamond: Ore
    tree: Ore
    lava_threshold: float
    cow: Herd
    zombie: Herd
    skeleton: Herd


DIFFICULTIES: dict[str, Difficulty] = {
    "normal": Difficulty(
        coal=Ore(0, 0.15),
        iron=Ore(0.4, 0.25),
        diamond=Ore(0.18, 0.006),
        tree=Ore(0, 0.2),
        lava_threshold=0.35,
        cow=Herd(0.015, 3, 5, 5, 0.01, 0.1, 2.5),
        zombie=Herd(0.007, 10, 6, 0, 0.3, 0.4, 3.5),
        skeleton=Herd(0.05, 0, 7, 7, 0.1, 0.1, 2),
    ),
    "easy": Difficulty(
        coal=Ore(-0.2, 0.25),
        iron=Ore(0.2, 0.35),
        diamond=Ore(0.15, 0.02),
        tree=Ore(-0.2, 0.35),
        lava_threshold=0.5,
        cow=Herd(0.03, 2, 3, 3, 0.03, 0.05, 4),
        zombie=Herd(0.003, 15, 10, 0, 0.1, 0.6, 1.5),
        skeleton=Herd(0.01, 0, 12, 12, 0.02, 0.3, 0.5),
    ),
    "hard": Difficulty(
        coal=Ore(0.2, 0.08),
        iron=Ore(0.5, 0.15),
        diamond=Ore(0.25, 0.002),
        tree=Ore(0.2, 0.1),
        lava_threshold=0.25,
        cow=Herd(0.005, 5, 8, 8, 0.002, 0.2, 1),
        zombie=Herd(0.02, 6, 4, 0, 0.5, 0.2, 6),
        skeleton=Herd(0.15, 0, 5, 5, 0.3, 0.05, 4),
    ),
    "peaceful": Difficulty(
        coal=Ore(-0.3, 0.3),
        iron=Ore(0.1, 0.4),
        diamond=Ore(0.1, 0.03),
        tree=Ore(-0.3, 0.4),
        lava_threshold=0.6,
        cow=Herd(0.05, 2, 2, 2, 0.05, 0.02, 5),
        zombie=Herd(0, 100, 100, 0, 0, 1, 0),
        skeleton=Herd(0, 100, 100, 0, 0, 1, 0),
    ),
}


def get_difficulty(name: str) -> Difficulty:
    """The figures of a difficulty. Raises ConfigError for an unknown name."""
    try:
        return DIFFICULTIES[name]
    except (KeyError, TypeError):
        known = ", ".join(sorted(DIFFICULTIES))
        raise ConfigError(f"difficulty {name!r} is unknown; known: {known}") from None
