"""A world as bytes and back, exactly: for seed snapshots, restore and fork.

Layout: 16 bytes of BLAKE2b over the rest, then zlib of: length of the header (u32), the header
(JSON), 4096 materials, 625 words (u32) of the generator. Plain data only, never pickle.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from typing import Any

from engine.errors import TaskError
from engine.tasks.crafter.objects import Arrow, Cow, Object, Plant, Skeleton, Zombie
from engine.tasks.crafter.rules import SIZE, WORLD_VERSION
from engine.tasks.crafter.world import DAY, World, daylight_at

_N_TILES = SIZE * SIZE
_N_WORDS = 625
_MOST_BYTES = 1 << 20  # unpacked; a real one has about 10 kB
_DIGEST = 16


def encode_world(world: World, extra: dict[str, Any] | None = None, tail: bytes = b"") -> bytes:
    """The whole state; `extra` (JSON-ready) and `tail` travel along."""
    places = {thing: index for index, thing in enumerate(world.objects)}
    player = world.player
    header = json.dumps(
        {
            "version": WORLD_VERSION,
            "seed": world.seed,
            "difficulty": world.difficulty,
            "n_steps": world.n_steps,
            "last_health": world.last_health,
            "last_harm": player.last_harm,
            "inventory": player.inventory,
            "achievements": list(player.achievements.values()),
            "counters": player.counters(),
            "objects": [(o.kind, o.x, o.y, o.health, *o.state()) for o in world.objects],
            "chunks": [(c, [places[o] for o in inside]) for c, inside in world.chunks.items()],
            "extra": extra or {},
        },
        separators=(",", ":"),
    ).encode()
    words = struct.pack(f"<{_N_WORDS}I", *world.random.getstate()[1])
    body = struct.pack("<I", len(header)) + header + bytes(world.materials) + words + tail
    packed = zlib.compress(body, 1)
    return hashlib.blake2b(packed, digest_size=_DIGEST).digest() + packed


def decode_world(data: bytes) -> tuple[World, dict[str, Any], bytes]:
    """The world, `extra` and `tail` of `encode_world`.

    Raises TaskError (not retryable) for anything torn, foreign or of another world version.
    """
    try:
        return _decode(data)
    except (ValueError, KeyError, TypeError, IndexError, struct.error, zlib.error) as err:
        raise TaskError(f"not a snapshot of this game: {err}", retryable=False) from err


def _decode(data: bytes) -> tuple[World, dict[str, Any], bytes]:
    packed = data[_DIGEST:]
    if hashlib.blake2b(packed, digest_size=_DIGEST).digest() != data[:_DIGEST]:
        raise ValueError("its checksum is wrong")
    inflater = zlib.decompressobj()
    body = inflater.decompress(packed, _MOST_BYTES)
    (length,) = struct.unpack_from("<I", body)
    header = json.loads(body[4 : 4 + length])
    if header["version"] != WORLD_VERSION:
        raise ValueError(f"it is of {header['version']}, this is {WORLD_VERSION}")
    start = 4 + length
    words_at = start + _N_TILES
    words = struct.unpack_from(f"<{_N_WORDS}I", body, words_at)
    world = World(int(header["seed"]), header["difficulty"])
    world.set_materials(body[start:words_at])
    world.random.setstate((3, words, None))
    _fill(world, header)
    return world, header["extra"], body[words_at + 4 * _N_WORDS :]


def _fill(world: World, header: dict[str, Any]) -> None:
    """Put player and objects back, in the order in which they stood."""
    player = world.player
    player.inventory.update(header["inventory"])
    player.achievements.update(zip(player.achievements, header["achievements"], strict=True))
    player.set_counters(tuple(header["counters"]))
    player.last_harm = header["last_harm"]
    things: list[Object] = []
    for kind, x, y, health, first, second in header["objects"]:
        thing = _make(world, kind, x, y, first, second)
        thing.x, thing.y = x, y
        thing.health = health
        world.add(thing)
        things.append(thing)
    world.chunks = {
        chunk: {things[index]: None for index in inside} for chunk, inside in header["chunks"]
    }
    world.n_steps = header["n_steps"]
    world.last_health = header["last_health"]
    world.daylight = daylight_at(world.n_steps % DAY)


def _make(world: World, kind: int, x: int, y: int, first: int, second: int) -> Object:
    if kind == 1:
        return world.player
    if kind == Cow.kind:
        return Cow(world, x, y)
    if kind == Zombie.kind:
        zombie = Zombie(world, x, y, world.player)
        zombie.cooldown = first
        return zombie
    if kind == Skeleton.kind:
        skeleton = Skeleton(world, x, y, world.player)
        skeleton.reload = first
        return skeleton
    if kind == Arrow.kind:
        return Arrow(world, x, y, first, second)
    if kind == Plant.kind:
        plant = Plant(world, x, y)
        plant.grown = first
        return plant
    raise ValueError(f"an object of kind {kind}")
