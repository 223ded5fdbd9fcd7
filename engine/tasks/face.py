"""What HTTP needs of a task besides the protocol of `base.py`: how it shows itself to clients.

Lives here: the protocol. `engine/http` asks it and does everything else (keys, limits, rollouts,
environments by id, reading tool calls). A task app implements it in `engine/tasks/NAME/face.py` as
a module-level `FACE`; `engine.tasks.get_face` finds it there. Everything that a method returns must
be JSON-ready; nothing here may hold a key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from engine.tasks.base import Game


class Score(NamedTuple):
    """What an environment has paid so far, for the observation."""

    last: float = 0.0  # reward of the last call
    total: float = 0.0
    max_steps: int = 10_000  # where the episode is cut
    truncated: bool = False


class TaskFace(Protocol):
    """How a task shows itself over HTTP (CONTRACT §2). One object a process, without state."""

    service: str
    """The name that `/` and `/done` answer: `grpo-crafter`, `math-single-step`."""
    environments: tuple[str, ...]
    """Names of the environment in `/env/NAME/…` and `env_name`; the first is the canonical one.
    Case does not matter."""
    hint: str
    """Rules that join the system message of a call that goes through our proxy."""

    def prepare(self) -> None:
        """Called once in a process that serves for long: whatever keeps it small."""
        ...

    def about(self) -> dict[str, Any]:
        """What does not depend on a seed.

        {"task": {id, name, version}, "dataset": {id, name, splits, …}, "action_space": {type,
        size, actions}, "rubrics": {"outcome": {name, criteria, …}, "events": {…}}}
        """
        ...

    def facts(self, game: Game) -> dict[str, Any]:
        """Of a seed's fresh world: {"observation": {seed, …}, "dataset": {seed, …}}; the latter
        joins the dataset of `about`."""
        ...

    def read_options(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The options of `Task.new_game` out of what a client sends as `env.config` (world_config
        and config of `initialize` are merged before). Keys that mean nothing here are left out;
        a value of the wrong type may be passed on: `new_game` raises ConfigError for it (422)."""
        ...

    def observation(self, game: Game, score: Score) -> dict[str, Any]:
        """The `observation` that the environment routes and a rollout's end answer."""
        ...

    def step_info(self, game: Game, unlocked: Sequence[str]) -> dict[str, Any]:
        """The `info` of an environment step that unlocked these achievements."""
        ...

    def details(self, game: Game) -> dict[str, Any]:
        """What joins `metrics.details` at the end of a rollout; mostly nothing."""
        ...

    def env_id(self, game: Game) -> str:
        """The env_id of a rollout where the task fixes it (`math::train::7`); "": any new one."""
        ...
