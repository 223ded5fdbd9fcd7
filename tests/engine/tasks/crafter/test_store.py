"""Fresh worlds from memory, disk and the generator are the same worlds."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.tasks.crafter import store as store_module
from engine.tasks.crafter.snapshot import encode_world
from engine.tasks.crafter.store import WorldStore, default_directory
from engine.tasks.crafter.worldgen import generate


def _file(directory: Path) -> Path:
    (path,) = directory.rglob("*.world")
    return path


def _forbid_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(seed: int, difficulty: str) -> None:
        raise AssertionError(f"world {seed} was made again")

    monkeypatch.setattr(store_module, "make_world", refuse)


def test_a_known_seed_is_never_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = WorldStore(tmp_path)
    first = store.fresh(3, "normal").state_hash()
    _forbid_generation(monkeypatch)
    assert store.fresh(3, "normal").state_hash() == first
    assert WorldStore(tmp_path).fresh(3, "normal").state_hash() == first
    assert generate(3, "normal").state_hash() == first


def test_worlds_handed_out_do_not_share_state() -> None:
    store = WorldStore(None)
    one, two = store.fresh(4, "normal"), store.fresh(4, "normal")
    for _ in range(20):
        one.step("move_left")
    assert two.state_hash() == generate(4, "normal").state_hash()


@pytest.mark.parametrize("damage", ["torn", "foreign", "another seed", "played"])
def test_a_file_that_is_not_the_fresh_world_is_made_again(tmp_path: Path, damage: str) -> None:
    right = WorldStore(tmp_path).fresh(5, "normal").state_hash()
    path = _file(tmp_path)
    played = generate(5, "normal")
    played.step("noop")
    path.write_bytes(
        {
            "torn": path.read_bytes()[:-9],
            "foreign": b"not a world",
            "another seed": encode_world(generate(6, "normal")),
            "played": encode_world(played),
        }[damage]
    )
    assert WorldStore(tmp_path).fresh(5, "normal").state_hash() == right
    assert WorldStore(tmp_path)._load(("normal", 5)) is not None


def test_difficulties_are_kept_apart(tmp_path: Path) -> None:
    store = WorldStore(tmp_path)
    assert store.fresh(5, "easy").state_hash() != store.fresh(5, "hard").state_hash()
    assert WorldStore(tmp_path).fresh(5, "easy").difficulty == "easy"


def test_a_place_that_cannot_be_written_costs_no_game(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    assert WorldStore(blocker).fresh(1, "normal").n_steps == 0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_MOST", 2)
    store = WorldStore(None)
    for seed in range(4):
        store.fresh(seed, "normal")
    assert [seed for _, seed in store._kept] == [2, 3]


def test_the_place_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYNTHWEB_CACHE", raising=False)
    monkeypatch.delenv("SYNTHWEB_HOME", raising=False)
    assert default_directory() is None
    monkeypatch.setenv("SYNTHWEB_HOME", "/h")
    assert default_directory() == Path("/h/cache/worlds")
    monkeypatch.setenv("SYNTHWEB_CACHE", "/c")
    assert default_directory() == Path("/c/worlds")
