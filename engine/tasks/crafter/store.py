"""Fresh worlds kept: the last few in memory, all on disk when there is a place for them.

The place is `$SYNTHWEB_CACHE`, else `$SYNTHWEB_HOME/cache`, else nowhere. A file that cannot be
read or is not what it should be is made again; a full disk costs time, never a game.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from engine.errors import EngineError
from engine.tasks.crafter.rules import WORLD_VERSION
from engine.tasks.crafter.snapshot import decode_world, encode_world
from engine.tasks.crafter.world import World

_MOST = 1024  # snapshots in memory, 5 kB each


def make_world(seed: int, difficulty: str) -> bytes:
    """The snapshot of a new world. Brings NumPy and Numba into the process."""
    from engine.tasks.crafter.worldgen import generate

    return encode_world(generate(seed, difficulty))


class WorldStore:
    """Hands out fresh worlds. Safe from several threads and processes.

    `make` makes those that are not kept; a process that should stay small sets another one.
    """

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self.make: Callable[[int, str], bytes] = make_world
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = Lock()

    def fresh(self, seed: int, difficulty: str) -> World:
        """The world of a seed as it is before the first step."""
        key = (difficulty, seed)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
        if kept is not None:
            return decode_world(kept)[0]
        loaded = self._load(key)
        if loaded is not None:
            return loaded
        data = self.make(seed, difficulty)
        self._keep(key, data)
        self._save(key, data)
        return decode_world(data)[0]

    def _keep(self, key: tuple[str, int], data: bytes) -> None:
        with self._lock:
            self._kept[key] = data
            while len(self._kept) > _MOST:
                self._kept.popitem(last=False)

    def _path(self, key: tuple[str, int]) -> Path | None:
        if self.directory is None:
            return None
        difficulty, seed = key
        return self.directory / WORLD_VERSION / difficulty / f"{seed % 256:02x}" / f"{seed}.world"

    def _load(self, key: tuple[str, int]) -> World | None:
        path = self._path(key)
        if path is None:
            return None
        try:
            data = path.read_bytes()
            world = decode_world(data)[0]
        except (OSError, EngineError):
            return None
        if (world.difficulty, world.seed, world.n_steps) != (*key, 0):
            return None
        self._keep(key, data)
        return world

    def _save(self, key: tuple[str, int], data: bytes) -> None:
        path = self._path(key)
        if path is None:
            return
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".world-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                os.replace(name, path)
            except OSError:
                os.unlink(name)
                raise


def default_directory() -> Path | None:
    """Where this process keeps worlds; read when the task is made, see above."""
    cache = os.environ.get("SYNTHWEB_CACHE")
    home = os.environ.get("SYNTHWEB_HOME")
    if cache:
        return Path(cache) / "worlds"
    return Path(home) / "cache" / "worlds" if home else None
