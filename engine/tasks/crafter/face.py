"""How Crafter shows itself over HTTP (protocol: `engine.tasks.face.TaskFace`), as Synth's clients
know it: `grpo-crafter`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from engine.tasks import get_task
from engine.tasks.apart import Apart
from engine.tasks.base import Game
from engine.tasks.crafter.difficulty import DIFFICULTIES
from engine.tasks.crafter.picture import PIXELS, draw_png
from engine.tasks.crafter.rules import ACTIONS, LENGTH, MATERIAL_ID, MATERIALS, SIZE
from engine.tasks.crafter.store import make_world
from engine.tasks.crafter.task import CrafterGame, CrafterTask
from engine.tasks.face import Score

_PATCH = 7  # tiles along one side of semantic_map_patch7
_SIGHT = 4  # tiles around the player that the traits count
_COW, _HOSTILES = 2, (3, 4)  # kinds of objects.py: cow, zombie and skeleton
_MAKE = Apart(make_world)
_CRITERIA = [
    {
        "id": "achievements",
        "description": "Different achievements unlocked in the episode.",
        "weight": 1.0,
        "required": False,
    }
]


class CrafterFace:
    """See the module."""

    service = "grpo-crafter"
    environments: tuple[str, ...] = ("crafter", "CrafterClassic", "crafter_classic")
    hint = (
        "You play Crafter. Answer with one call of interact_many with 1 to 8 actions, played in "
        f"order. Actions: {', '.join(ACTIONS)}. do acts on the tile that you face; a table needs "
        "wood, tools need a table nearby, iron tools a furnace too."
    )

    def prepare(self) -> None:
        cast(CrafterTask, get_task("crafter")).store.make = _MAKE

    def about(self) -> dict[str, Any]:
        return {
            "task": {"id": "crafter_classic", "name": "Crafter Classic", "version": "1.0.0"},
            "dataset": {
                "id": "crafter_classic_procedural",
                "name": "Crafter Classic Procedural Seeds",
                "version": "1.0.0",
                "splits": ["train"],
                "default_split": "train",
                "cardinality": None,
                "description": "A world of its own for every seed, the same in every process.",
                "seed_range": [0, 2**63 - 1],
                "default_seed": 42,
                "difficulties": sorted(DIFFICULTIES),
                "config": {"area": [SIZE, SIZE], "length": LENGTH},
            },
            "action_space": {"type": "discrete", "size": len(ACTIONS), "actions": list(ACTIONS)},
            "rubrics": {
                "outcome": {
                    "name": "achievements",
                    "version": "1",
                    "goal_text": "Unlock as many different achievements as possible.",
                    "criteria": _CRITERIA,
                    "aggregation": "weighted_sum",
                },
                "events": {
                    "name": "unlocks",
                    "version": "1",
                    "goal_text": "Each decision that unlocks something new counts.",
                    "criteria": _CRITERIA,
                    "aggregation": "weighted_sum",
                },
            },
        }

    def facts(self, game: Game) -> dict[str, Any]:
        world = cast(CrafterGame, game).world
        config = {"seed": game.seed, "area": [SIZE, SIZE], "length": LENGTH}
        return {
            "observation": {
                "summary": "Picture, inventory, achievements and semantic maps.",
                "keys": ["image", "inventory", "achievements", "semantic_map_patch7"],
                "image_shape": [PIXELS, PIXELS, 3],
                "seed": game.seed,
                "traits": _traits(cast(CrafterGame, game)),
                "inventory": dict(world.player.inventory),
                "player_position": [world.player.x, world.player.y],
            },
            "dataset": {"seed": game.seed, "difficulty": world.difficulty, "config": config},
        }

    def read_options(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """`observation` chooses what the model reads; Synth's own text when none is named."""
        options = {"observation": "synth"}
        options |= {key: config[key] for key in ("difficulty", "observation") if config.get(key)}
        return options

    def observation(self, game: Game, score: Score) -> dict[str, Any]:
        world = cast(CrafterGame, game).world
        player, image = world.player, draw_png(game.view())
        semantic, materials = _semantic_map(cast(CrafterGame, game)), _materials(world.materials)
        return {
            "text": game.text(),
            "inventory": dict(player.inventory),
            "achievements_status": {name: n > 0 for name, n in player.achievements.items()},
            "player_position": [player.x, player.y],
            "player_direction": list(player.facing),
            "semantic_map": semantic,
            "world_material_map": materials,
            "semantic_map_patch7": _patch(semantic, player.x, player.y),
            "num_steps_taken": game.n_steps,
            "max_steps_episode": score.max_steps,
            "error_info": None,
            "reward_last_step": score.last,
            "total_reward_episode": score.total,
            "terminated": world.over,
            "truncated": score.truncated,
            "observation_image_base64": image,
            "observation_image_format": "png",
            "observation_image_width": PIXELS,
            "observation_image_height": PIXELS,
            "observation_image_data_url": f"data:image/png;base64,{image}",
        }

    def step_info(self, game: Game, unlocked: Sequence[str]) -> dict[str, Any]:
        return {"achievements_added": list(unlocked)}

    def details(self, game: Game) -> dict[str, Any]:
        return {}

    def env_id(self, game: Game) -> str:
        return ""


def _materials(tiles: bytearray) -> list[list[int]]:
    """64 x 64 material ids, [x][y]."""
    return [list(tiles[x * SIZE : (x + 1) * SIZE]) for x in range(SIZE)]


def _semantic_map(game: CrafterGame) -> list[list[int]]:
    """Materials and, above them, what stands there, numbered as stock Crafter does; [x][y]."""
    rows = _materials(game.world.materials)
    for thing in game.world.objects:
        rows[thing.x][thing.y] = len(MATERIALS) + thing.kind
    return rows


def _patch(semantic: list[list[int]], x: int, y: int) -> list[list[int]]:
    """The 7 x 7 tiles around the player, [x][y]; 0 outside the map."""
    half = _PATCH // 2
    return [
        [
            semantic[column][row] if 0 <= column < SIZE and 0 <= row < SIZE else 0
            for row in range(y - half, y + half + 1)
        ]
        for column in range(x - half, x + half + 1)
    ]


def _traits(game: CrafterGame) -> dict[str, int]:
    """What is near the player at the start: trees, cows, hostile creatures."""
    world, player = game.world, game.world.player
    near = [
        thing
        for thing in world.objects
        if max(abs(thing.x - player.x), abs(thing.y - player.y)) <= _SIGHT
    ]
    around = range(-_SIGHT, _SIGHT + 1)
    tiles = [(player.x + dx, player.y + dy) for dx in around for dy in around]
    inside = [x * SIZE + y for x, y in tiles if 0 <= x < SIZE and 0 <= y < SIZE]
    return {
        "trees": sum(world.materials[at] == MATERIAL_ID["tree"] for at in inside),
        "cows": sum(thing.kind == _COW for thing in near),
        "hostiles": sum(thing.kind in _HOSTILES for thing in near),
    }


FACE = CrafterFace()
