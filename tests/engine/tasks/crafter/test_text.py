"""What the model reads is true: the map the right way round, every fact against the world."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from engine.tasks.base import PastCall
from engine.tasks.crafter.objects import Cow, Zombie
from engine.tasks.crafter.rules import GRASS, MATERIAL_ID, SIZE, TABLE, WALKABLE
from engine.tasks.crafter.sight import find_routes
from engine.tasks.crafter.task import CrafterGame, CrafterTask
from engine.tasks.crafter.text import FORMATS, tile_name


def _meadow(task: CrafterTask, observation: str = "map") -> CrafterGame:
    """Grass everywhere, nobody else: what a test puts there is all there is."""
    game = task.new_game(0, {"observation": observation})
    for thing in list(game.world.objects):
        if thing is not game.world.player:
            game.world.remove(thing)
    game.world.set_materials(bytes([GRASS]) * SIZE * SIZE)
    game.memory.look(game.world)
    return game


def _put(game: CrafterGame, material: str, dx: int, dy: int) -> None:
    player = game.world.player
    game.world.set_material((player.x + dx) * SIZE + player.y + dy, MATERIAL_ID[material])
    game.memory.look(game.world)


def _lively_games(task: CrafterTask, observation: str) -> Iterator[CrafterGame]:
    """States of some played games."""
    for seed in range(6):
        game, chance = task.new_game(seed, {"observation": observation}), random.Random(seed)
        while not game.ending() and game.n_steps < 120:
            game.step(chance.choice((1, 2, 3, 4, 5, 5, chance.randrange(17))))
            if game.n_steps % 4 == 0:
                yield game


def _facts(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line}


@pytest.mark.parametrize("observation", ["map", "synth"])
def test_the_map_is_whole_and_the_right_way_round(task: CrafterTask, observation: str) -> None:
    game = _meadow(task, observation)
    _put(game, "tree", -4, -3)  # north-west corner
    _put(game, "water", 4, -3)  # north-east
    _put(game, "stone", -4, 3)  # south-west
    _put(game, "iron", 2, 0)  # two to the east
    lines = game.text().splitlines()
    middle = next(i for i, line in enumerate(lines) if "player" in line.split())
    rows = [line.split() for line in lines[middle - 3 : middle + 4]]
    assert [len(row) for row in rows] == [9] * 7
    assert rows[0] == ["tree", *["grass"] * 7, "water"]
    assert rows[6] == ["stone", *["grass"] * 8]
    assert rows[3] == [*["grass"] * 4, "player", "grass", "iron", "grass", "grass"]


@pytest.mark.parametrize("observation", ["map", "synth"])
def test_the_map_agrees_with_the_world_in_played_games(task: CrafterTask, observation: str) -> None:
    for game in _lively_games(task, observation):
        player = game.world.player
        lines = game.text().splitlines()
        middle = next(i for i, line in enumerate(lines) if line.split().count("player"))
        for dy in range(-3, 4):
            expected = [
                "player"
                if (dx, dy) == (0, 0)
                else tile_name(game.world, player.x + dx, player.y + dy)
                for dx in range(-4, 5)
            ]
            assert lines[middle + dy].split() == expected


def test_beyond_the_map_is_edge(task: CrafterTask) -> None:
    game = _meadow(task)
    for _ in range(40):
        game.step("move_left")
    row = next(line for line in game.text().splitlines() if "player" in line.split())
    assert row.split()[:5] == ["edge"] * 4 + ["player"]
    assert "ahead edge" in game.text()


def test_synth_is_word_for_word(task: CrafterTask) -> None:
    game = task.new_game(3, {"observation": "synth"})
    head, _, rest = game.text().partition("Local Map View (9x7):\n")
    assert head == (
        "=== CRAFTER GAME STATE ===\nStep: 0/10000\nHealth: 9\nPosition: [32, 32]\n"
        "Facing: [0, 1]\nInventory: food:9, drink:9, energy:9\nAchievements: none\n\n"
    )
    assert rest.endswith("\n\nChoose your next actions.\n")
    past = [
        PastCall(("do",), ""),
        PastCall(("sleep", "noop"), ""),
        PastCall(("place_plant", "move_up"), ""),
        PastCall(("do", "do"), ""),
    ]
    system, user = task.messages(game, past)
    assert (system["role"], user["role"]) == ("system", "user")
    assert user["content"].endswith(
        "Choose your next actions.\n\n\nPrevious tool calls (most recent first):\n"
        '- interact_many: {"actions":["do","do"]}\n'
        '- interact_many: {"actions":["place_plant","move_up"]}\n'
        '- interact_many: {"actions":["sleep","noop"]}'
    )
    assert task.messages(game, [])[1]["content"].endswith("(most recent first):\n- none")


@pytest.mark.parametrize("observation", FORMATS)
def test_a_failed_call_is_told_with_its_reason(task: CrafterTask, observation: str) -> None:
    game = task.new_game(3, {"observation": observation})
    messages = task.messages(game, [PastCall((), "no actions; nothing was played")])
    assert len(messages) == 2
    assert "failed" in messages[1]["content"] or observation == "synth"
    assert "no actions; nothing was played" in messages[1]["content"]


@pytest.mark.parametrize("observation", FORMATS)
def test_the_system_message_never_changes(task: CrafterTask, observation: str) -> None:
    game = task.new_game(3, {"observation": observation})
    before = task.messages(game, [])[0]
    game.step("move_left")
    assert task.messages(game, [PastCall(("move_left",), "")])[0] == before
    assert task.messages(task.new_game(4, {"observation": observation}), [])[0] == before


def test_compact_tells_what_is_useful_nearest_first(task: CrafterTask) -> None:
    game = _meadow(task, "compact")
    _put(game, "tree", -2, -1)
    _put(game, "table", 1, 1)
    _put(game, "water", 1, 0)
    _put(game, "stone", 0, -2)  # of no use without a pickaxe
    game.world.player.inventory.update(wood=1, food=4)
    assert game.text().splitlines()[:-1] == [
        "low food 4",
        "have wood 1",
        "now make_wood_pickaxe",
        "ahead grass",
        "grass here",
        "water right",
        "table down right",
        "tree left left up",
    ]
    assert game.text().splitlines()[-1].startswith("new ")


def test_map_tells_vitals_and_unlocks_besides(task: CrafterTask) -> None:
    game = _meadow(task)
    game.unlocked = {"wake_up": 3, "collect_wood": 9}
    lines = game.text().splitlines()
    assert lines[0] == "step 0"
    assert lines[8:10] == ["health 9 food 9 drink 9 energy 9", "done wake_up collect_wood"]
    game.observation = "compact"
    assert lines[10:] == game.text().splitlines()


def test_a_route_goes_around_what_is_in_the_way(task: CrafterTask) -> None:
    game = _meadow(task, "compact")
    _put(game, "tree", 3, 0)
    for dy in (-1, 0, 1):
        _put(game, "stone", 1, dy)
    assert find_routes(game.world, game.memory).routes["tree"] == (
        *["up"] * 2,
        *["right"] * 3,
        *["down"] * 2,
    )
    assert _facts(game.text())["tree"] == ["up", "up", "right", "right", "right"]


def test_following_any_route_ends_facing_the_thing(task: CrafterTask) -> None:
    n_followed = 0
    for game in _lively_games(task, "compact"):
        for kind, route in find_routes(game.world, game.memory).routes.items():
            if kind not in MATERIAL_ID:
                continue
            copy = task.restore(game.snapshot())
            for thing in list(copy.world.objects):  # nobody may step into the way
                if thing is not copy.world.player and thing.kind != 6:
                    copy.world.remove(thing)
            copy.world.player.sleeping = False
            for press in route:
                copy.world.player.action = f"move_{press}"
                copy.world.player.update()
            assert tile_name(copy.world, *copy.world.player.target()) == kind
            n_followed += 1
    assert n_followed > 100


def test_everything_that_now_names_works_in_its_order(task: CrafterTask) -> None:
    n_tried = 0
    chance = random.Random(1)
    for game in _lively_games(task, "compact"):
        copy = task.restore(game.snapshot())
        if copy.world.player.sleeping:
            continue
        have = copy.world.player.inventory
        for item in ("wood", "stone", "coal", "iron", "sapling"):
            have[item] = chance.randrange(6)
        x, y = copy.world.player.x, copy.world.player.y
        if copy.world.object_near(x, y - 1) is None and chance.random() < 0.5:
            copy.world.set_material(x * SIZE + y - 1, TABLE)
        for name in _facts(copy.text()).get("now", []):
            before = copy.world.player.achievements[name] if name != "sleep" else -1
            copy.step(name)
            after = copy.world.player.achievements[name] if name != "sleep" else 0
            assert after == before + 1
            assert name != "sleep" or copy.world.player.sleeping
            n_tried += 1
    assert n_tried > 50


def test_what_was_seen_is_remembered_and_told(task: CrafterTask) -> None:
    game = _meadow(task, "compact")
    _put(game, "water", 4, 0)
    for _ in range(3):
        game.step("move_left")
    assert _facts(game.text())["water"] == ["right"] * 5
    assert find_routes(game.world, game.memory).routes["water"] == ("right",) * 7


def test_nothing_unseen_is_told(task: CrafterTask) -> None:
    game = _meadow(task, "compact")
    player = game.world.player
    game.world.set_material((player.x + 5) * SIZE + player.y, MATERIAL_ID["water"])
    game.world.add(Cow(game.world, player.x, player.y + 4))
    assert find_routes(game.world, game.memory).routes == {}


def test_creatures_night_and_sleep_are_told(task: CrafterTask) -> None:
    game = _meadow(task, "compact")
    player = game.world.player
    game.world.add(Zombie(game.world, player.x - 1, player.y, player))
    assert [line.split()[0] for line in game.text().splitlines()[:3]] == [
        "ahead",
        "zombie",  # about to strike: before the grass ahead
        "grass",
    ]
    player.sleeping, game.world.daylight = True, 0.1
    assert game.text().splitlines()[:2] == ["sleeping", "night"]


def test_what_is_done_is_no_longer_useful(task: CrafterTask) -> None:
    game = _meadow(task, "compact")
    _put(game, "water", 2, 0)
    assert "water" in _facts(game.text())
    game.world.player.achievements["collect_drink"] = 1
    assert "water" not in _facts(game.text())
    game.world.player.inventory["drink"] = 4
    assert "water" in _facts(game.text())


def test_another_table_is_offered_where_none_is_in_reach(task: CrafterTask) -> None:
    game = _meadow(task, "compact")
    player = game.world.player
    for name in ("place_table", "make_wood_pickaxe", "make_wood_sword", "place_stone"):
        player.achievements[name] = 1
    player.inventory.update(wood=4, stone=2, wood_pickaxe=1)
    names = ["place_table", "make_stone_pickaxe", "make_stone_sword"]
    assert _facts(game.text())["now"] == names
    _put(game, "table", 4, 0)
    facts = _facts(game.text())
    assert "now" not in facts
    assert facts["table"] == ["right"] * 4


def test_new_leads_to_tiles_never_seen(task: CrafterTask) -> None:
    game = _meadow(task, "compact")
    unseen = game.memory.seen.count(0)
    for _ in range(12):
        for press in _facts(game.text())["new"]:
            game.step(f"move_{press}")
        assert game.memory.seen.count(0) < unseen
        unseen = game.memory.seen.count(0)


def test_the_tiles_to_walk_on_are_stock_s() -> None:
    assert {MATERIAL_ID[name] for name in ("grass", "sand", "path")} == WALKABLE
