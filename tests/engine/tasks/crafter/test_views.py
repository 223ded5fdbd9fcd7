"""The packed picture holds what the world holds."""

from __future__ import annotations

import random

import pytest

from engine.errors import TaskError
from engine.tasks.crafter import rules, views
from engine.tasks.crafter.objects import Arrow, Plant, Zombie
from engine.tasks.crafter.rules import GRASS, SIZE
from engine.tasks.crafter.task import CrafterTask
from engine.tasks.crafter.text import tile_name


def test_a_view_says_what_the_world_is(task: CrafterTask) -> None:
    for seed in range(5):
        game, chance = task.new_game(seed, {}), random.Random(seed)
        for _ in range(80):
            if game.step(chance.randrange(17)).done:
                break
            world, player = game.world, game.world.player
            view = views.unpack_view(game.view())
            assert view["inventory"] == player.inventory
            assert view["n_steps"] == world.n_steps
            assert set(view["achievements"]) == set(game.unlocked)
            assert view["daylight"] == pytest.approx(world.daylight, abs=0.003)
            assert (view["sleeping"], view["dead"]) == (player.sleeping, world.dead)
            for dy, row in enumerate(view["tiles"], start=-3):
                for dx, (material, thing) in enumerate(row, start=-4):
                    name = tile_name(world, player.x + dx, player.y + dy)
                    if thing:
                        assert thing.split("-")[0] == name.split("-")[0]
                    else:
                        assert (material or "edge") == name


def test_things_and_facings_have_their_textures(task: CrafterTask) -> None:
    game = task.new_game(0, {})
    world, player = game.world, game.world.player
    for thing in list(world.objects):
        if thing is not player:
            world.remove(thing)
    world.set_materials(bytes([GRASS]) * SIZE * SIZE)
    world.add(Zombie(world, player.x - 1, player.y, player))
    world.add(Arrow(world, player.x + 1, player.y, 0, -1))
    plant = Plant(world, player.x, player.y + 1)
    world.add(plant)
    player.facing = (-1, 0)
    tiles = views.unpack_view(game.view())["tiles"]
    row = [thing for _, thing in tiles[3]]
    assert row[3:6] == ["zombie", "player-left", "arrow-up"]
    assert tiles[4][4] == ("grass", "sapling")
    plant.grown, player.sleeping = 301, True
    tiles = views.unpack_view(game.view())["tiles"]
    assert (tiles[4][4][1], tiles[3][4][1]) == ("plant-ripe", "player-sleep")


def test_a_view_is_small_and_versioned(task: CrafterTask) -> None:
    view = task.new_game(0, {}).view()
    assert (len(view), view[0]) == (views.SIZE_BYTES, 1)
    for bad in (b"", view[:-1], bytes([2]) + view[1:]):
        with pytest.raises(TaskError, match="version 1"):
            views.unpack_view(bad)


def test_every_name_fits_its_nibble() -> None:
    assert len(views.MATERIALS) <= 16
    assert len(views.THINGS) <= 16
    assert views.MATERIALS[1:] == rules.MATERIALS
