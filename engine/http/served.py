"""One task as this process serves it: its game, its face, what is shared by all of its routes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from engine.http.problems import Problem
from engine.http.settings import HttpSettings
from engine.tasks import canonical_name, get_face, get_task
from engine.tasks.base import Game

VERSION = "1.0.0"
MOST_STEPS = 10_000


class Served:
    """See the module. Worlds are made in threads: a new one takes up to 100 ms."""

    def __init__(self, name: str, settings: HttpSettings, makers: ThreadPoolExecutor) -> None:
        self.name = canonical_name(name)
        self.settings = settings
        self.task, self.face = get_task(name), get_face(name)
        self.face.prepare()
        self.about = self.face.about()
        self.default_seed = int(self.about["dataset"].get("default_seed") or 0)
        self.makers = makers

    def plays(self, env_name: str) -> bool:
        """Whether an environment of this name is played here."""
        wanted = env_name.strip().lower()
        return wanted in {name.lower() for name in (*self.face.environments, self.name)}

    async def new_game(self, seed: int, options: Mapping[str, Any]) -> Game:
        """A fresh game. Raises ConfigError for options that the task refuses, TaskError."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.makers, self.task.new_game, seed, options)

    def max_steps(self, config: Mapping[str, Any]) -> int:
        """`env_params.max_steps_per_episode`, at most the game's own length. Raises Problem."""
        params = config.get("env_params")
        given = params.get("max_steps_per_episode") if isinstance(params, Mapping) else None
        if given is None:
            return MOST_STEPS
        if isinstance(given, bool) or not isinstance(given, int) or given < 1:
            words = f"env_params.max_steps_per_episode {str(given)[:40]!r} is no positive integer."
            raise Problem(422, "config_error", words)
        return min(given, MOST_STEPS)
