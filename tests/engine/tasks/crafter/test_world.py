"""The rules are stock's; seed and actions decide everything."""

from __future__ import annotations

import collections
import os
import random
import subprocess
import sys
from typing import Any

import crafter
import numpy as np
import pytest
from crafter import constants

from engine.errors import ConfigError, TaskError
from engine.tasks.crafter.objects import Zombie
from engine.tasks.crafter.rules import LAVA, MATERIAL_ID, SIZE
from engine.tasks.crafter.snapshot import decode_world, encode_world
from engine.tasks.crafter.task import CrafterTask
from engine.tasks.crafter.world import World
from engine.tasks.crafter.worldgen import generate


class _OrderedSet(dict[Any, None]):
    def add(self, item: Any) -> None:
        self[item] = None

    def remove(self, item: Any) -> None:
        del self[item]


class _OrderedWorld(crafter.engine.World):  # type: ignore[misc]
    def reset(self, seed: int | None = None) -> None:
        super().reset(seed)
        self._chunks = collections.defaultdict(_OrderedSet)


class _MendedStock(crafter.Env):  # type: ignore[misc]
    """Stock's own code with the two mends: ordered chunks, and no picture that draws numbers."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed=seed)
        self._world.__class__ = _OrderedWorld
        self.reset()

    def _obs(self) -> None:
        return None


def _assert_same(stock: _MendedStock, ours: World) -> None:
    assert stock._world._mat_map.tobytes() == bytes(ours.materials)
    theirs = [(type(o).__name__, *o.pos.tolist(), o.health) for o in stock._world.objects]
    assert theirs == [(type(o).__name__, o.x, o.y, o.health) for o in ours.objects]
    assert stock._player.inventory == ours.player.inventory
    assert stock._player.achievements == ours.player.achievements
    _, words, position, _, _ = stock._world.random.get_state()
    state = ours.random.getstate()[1]
    assert (position, words.tolist()) == (state[-1], list(state[:-1]))


def _lively_action(chance: random.Random) -> int:
    """Walks and does more than it idles, so that creatures are met and things are built."""
    return chance.choice((1, 2, 3, 4, 5, 5, 5, chance.randrange(17)))


@pytest.mark.parametrize("seed", range(3))
def test_every_step_is_stock_s(seed: int) -> None:
    stock, ours = _MendedStock(seed), generate(seed, "normal")
    chance = random.Random(seed)
    _assert_same(stock, ours)
    for _ in range(250):
        action = _lively_action(chance)
        _, reward, done, _ = stock.step(action)
        before = {k for k, v in ours.player.achievements.items() if v}
        change = ours.step(constants.actions[action])
        _assert_same(stock, ours)
        new = {k for k, v in ours.player.achievements.items() if v} - before
        assert (change + (1.0 if new else 0.0), ours.over) == (pytest.approx(reward), done)
        if done:
            break


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 112))
def test_every_step_of_long_games_is_stock_s(seed: int) -> None:
    stock, ours = _MendedStock(seed), generate(seed, "normal")
    chance = random.Random(seed)
    for _ in range(1500):
        action = _lively_action(chance)
        done = stock.step(action)[2]
        ours.step(constants.actions[action])
        _assert_same(stock, ours)
        if done:
            break


_PLAY = """
import random, sys
from engine.tasks.crafter.store import WorldStore
from engine.tasks.crafter.task import CrafterTask
task = CrafterTask(WorldStore(None))
looks = random.Random(sys.argv[1])
for seed in range(40, 44):
    game, chance = task.new_game(seed, {}), random.Random(seed)
    for _ in range(150):
        if game.step(chance.randrange(17)).done:
            break
        if looks.random() < 0.3:
            looks.choice((game.text, game.view, game.details, game.snapshot))()
        print(game.state_hash())
"""


def test_processes_play_the_same_game_however_often_they_look() -> None:
    outputs = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", _PLAY, hash_seed],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
    lines = outputs.pop().split()
    assert len(lines) > 300
    assert len(set(lines)) == len(lines)


def test_a_rendered_stock_game_does_not_touch_ours() -> None:
    quiet, noisy = generate(7, "normal"), generate(7, "normal")
    env = crafter.Env(seed=7)
    env.reset()
    chance = random.Random(7)
    for _ in range(40):
        action = chance.randrange(17)
        env.step(action)
        quiet.step(constants.actions[action])
        noisy.step(constants.actions[action])
        env.render((90, 90))
    assert quiet.state_hash() == noisy.state_hash()


@pytest.mark.parametrize("n_before", [0, 1, 57, 143])
def test_a_restored_game_goes_on_exactly(task: CrafterTask, n_before: int) -> None:
    game = task.new_game(11, {"observation": "compact"})
    chance = random.Random(3)
    for _ in range(n_before):
        assert not game.step(_lively_action(chance)).done
    copy = task.restore(game.snapshot())
    assert copy.text() == game.text()
    for _ in range(120):
        action = _lively_action(chance)
        result = game.step(action)
        assert copy.step(action) == result
        assert (copy.state_hash(), copy.view()) == (game.state_hash(), game.view())
        assert (copy.text(), copy.unlocked) == (game.text(), game.unlocked)
        if result.done:
            break


def test_the_hash_sees_every_part_of_the_state() -> None:
    def changed(change: Any) -> str:
        world = generate(5, "normal")
        change(world)
        return world.state_hash()

    zombie = next(thing for thing in generate(5, "normal").objects if isinstance(thing, Zombie))
    hashes = [
        changed(lambda world: None),
        changed(lambda world: world.uniform()),
        changed(lambda world: world.set_material(0, LAVA)),
        changed(lambda world: setattr(world, "n_steps", 1)),
        changed(lambda world: setattr(world.player, "hunger", 0.5)),
        changed(lambda world: world.player.inventory.update(wood=1)),
        changed(lambda world: world.player.achievements.update(wake_up=1)),
        changed(lambda world: setattr(world.player, "facing", (1, 0))),
        changed(lambda world: setattr(world.object_near(zombie.x, zombie.y), "cooldown", 3)),
    ]
    assert all(len(value) == 16 and int(value, 16) >= 0 for value in hashes)
    assert len(set(hashes)) == len(hashes)


def test_snapshots_that_are_torn_foreign_or_changed_are_refused() -> None:
    data = encode_world(generate(1, "normal"))
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    for bad in (b"", data[:-3], b"x" * 500, flipped):
        with pytest.raises(TaskError, match="not a snapshot"):
            decode_world(bad)


def test_the_cause_of_death_is_named(task: CrafterTask) -> None:
    game = task.new_game(1, {})
    player = game.world.player
    game.world.set_material((player.x + 1) * SIZE + player.y, LAVA)
    neighbour = game.world.object_near(player.x + 1, player.y)
    if neighbour is not None:
        game.world.remove(neighbour)
    assert game.ending() == ""
    assert game.step("move_right").done
    assert game.ending() == "died: lava"
    with pytest.raises(TaskError, match="the game is over: died: lava"):
        game.step("noop")


def test_a_blow_of_a_zombie_is_the_cause_of_death(task: CrafterTask) -> None:
    game = task.new_game(1, {})
    world, player = game.world, game.world.player
    for thing in list(world.objects):
        if thing is not player:
            world.remove(thing)
    player.health = player.last_health = 1
    zombie = Zombie(world, player.x - 1, player.y, player)
    world.add(zombie)
    while not game.step("noop").done:
        assert game.n_steps < 100
    assert game.ending() == "died: zombie"


def test_difficulties_differ_as_their_names_say(task: CrafterTask) -> None:
    def count(difficulty: str) -> tuple[int, int]:
        worlds = [task.new_game(seed, {"difficulty": difficulty}).world for seed in range(3)]
        zombies = sum(type(o) is Zombie for world in worlds for o in world.objects)
        trees = sum(world.materials.count(MATERIAL_ID["tree"]) for world in worlds)
        return zombies, trees

    peaceful, easy, normal, hard = map(count, ("peaceful", "easy", "normal", "hard"))
    assert 0 == peaceful[0] < easy[0] < normal[0] < hard[0]
    assert peaceful[1] > easy[1] > normal[1] > hard[1] > 0


def test_peaceful_stays_peaceful(task: CrafterTask) -> None:
    game = task.new_game(2, {"difficulty": "peaceful"})
    for _ in range(300):
        game.step("noop")
    assert not any(isinstance(thing, Zombie) for thing in game.world.objects)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"difficulty": "insane"}, "difficulty 'insane' is unknown; known: easy, hard"),
        ({"observation": "pixels"}, "observation 'pixels' is unknown; known: map, compact, synth"),
        ({"max_steps": 5}, "no option 'max_steps'; known: difficulty, observation"),
    ],
)
def test_options_that_it_does_not_know_are_refused(
    task: CrafterTask, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        task.new_game(0, options)


@pytest.mark.parametrize("seed", [-1, 2**63, True, "3", 1.5])
def test_a_seed_is_a_whole_number(task: CrafterTask, seed: Any) -> None:
    with pytest.raises(ConfigError, match="seed"):
        task.new_game(seed, {})


def test_the_generator_s_whole_numbers_are_numpy_s() -> None:
    numpy_stream = np.random.RandomState(9)
    world = World(0)
    _, words, position, _, _ = numpy_stream.get_state(legacy=True)
    world.random.setstate((3, (*(int(word) for word in words), int(position)), None))
    for n in (1, 2, 3, 4, 5, 17, 100, 144, 2**20 + 1) * 20:
        assert world.integer(n) == numpy_stream.randint(0, n)
        assert world.uniform() == numpy_stream.uniform()
