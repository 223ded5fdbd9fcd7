"""The Crafter task app: games, prompts and calls behind the protocol of `engine/tasks/base.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import ConfigError, ReplyError, TaskError
from engine.tasks.base import Action, Message, PastCall, Scripted, StepResult
from engine.tasks.crafter import calls, guide, rewards, text
from engine.tasks.crafter.difficulty import get_difficulty
from engine.tasks.crafter.rules import ACHIEVEMENTS, ACTIONS, WORLD_VERSION
from engine.tasks.crafter.sight import Memory
from engine.tasks.crafter.snapshot import decode_world, encode_world
from engine.tasks.crafter.store import WorldStore, default_directory
from engine.tasks.crafter.views import pack_view
from engine.tasks.crafter.world import World

DEFAULTS = {"difficulty": "normal", "observation": "map"}
_MOST_SEED = 2**63 - 1


class CrafterGame:
    """One running episode (protocol: `engine.tasks.base.Game`)."""

    world_version = WORLD_VERSION

    def __init__(self, world: World, observation: str, memory: Memory | None = None) -> None:
        self.world = world
        self.observation = observation
        self.memory = memory or Memory()
        self.memory.look(world)
        self.unlocked: dict[str, int] = {}

    @property
    def seed(self) -> int:
        return self.world.seed

    @property
    def n_steps(self) -> int:
        return self.world.n_steps

    def text(self) -> str:
        return text.observe(self.world, self.memory, list(self.unlocked), self.observation)

    def step(self, action: Action) -> StepResult:
        """Play one action, given by name, alias or index.

        The reward is stock's: 1 for a step that unlocks something, a tenth a point of health.
        """
        if self.world.over:
            raise TaskError(f"the game is over: {self.ending()}", retryable=False)
        try:
            name = calls.read_action(action)
        except ReplyError as err:
            raise TaskError(str(err), retryable=False) from err
        before = dict(self.world.player.achievements)
        reward = self.world.step(name)
        counts = self.world.player.achievements
        achieved = tuple(n for n, count in counts.items() if count != before[n])
        new = tuple(n for n in achieved if n not in self.unlocked)
        for achievement in new:
            self.unlocked[achievement] = self.world.n_steps
        self.memory.look(self.world)
        return StepResult(reward + (1.0 if new else 0.0), self.world.over, new, achieved)

    def view(self) -> bytes:
        return pack_view(self.world)

    def state_hash(self) -> str:
        return self.world.state_hash()

    def ending(self) -> str:
        if self.world.dead:
            return f"died: {self.world.player.last_harm or 'unknown'}"
        return f"length of {self.world.n_steps} steps reached" if self.world.over else ""

    def outcome(self) -> float:
        return float(len(self.unlocked))

    def details(self) -> dict[str, Any]:
        player = self.world.player
        return {
            "inventory": dict(player.inventory),
            "achievements": {name: count > 0 for name, count in player.achievements.items()},
            "achievement_counts": dict(player.achievements),
            "position": [player.x, player.y],
            "facing": list(player.facing),
            "sleeping": player.sleeping,
            "daylight": self.world.daylight,
            "n_steps": self.world.n_steps,
            "difficulty": self.world.difficulty,
        }

    def snapshot(self) -> bytes:
        extra = {"observation": self.observation, "unlocked": self.unlocked}
        return encode_world(self.world, extra, self.memory.pack())


class CrafterTask:
    """Protocol: `engine.tasks.base.Task`."""

    name = "crafter"
    aliases: tuple[str, ...] = ("grpo-crafter", "crafter-task", "CrafterClassic", "crafter_classic")
    world_version = WORLD_VERSION
    achievements = ACHIEVEMENTS
    actions = ACTIONS
    tools = calls.TOOLS
    tool_choice = calls.TOOL_CHOICE
    scripted: Mapping[str, Scripted] = {"random": guide.random_call, "guide": guide.guide_call}

    def __init__(self, store: WorldStore | None = None) -> None:
        self.store = store or WorldStore(default_directory())

    def new_game(self, seed: int, options: Mapping[str, Any]) -> CrafterGame:
        """The fresh world of a seed.

        options: `difficulty` easy | normal | hard | peaceful, `observation` map | compact | synth.
        Raises ConfigError for any other key or value, or a seed that is no integer of 0 to 2^63-1.
        """
        unknown = sorted(set(options) - set(DEFAULTS))
        if unknown:
            known = ", ".join(DEFAULTS)
            raise ConfigError(f"crafter has no option {unknown[0]!r}; known: {known}")
        chosen = {**DEFAULTS, **options}
        if chosen["observation"] not in text.FORMATS:
            known = ", ".join(text.FORMATS)
            raise ConfigError(f"observation {chosen['observation']!r} is unknown; known: {known}")
        get_difficulty(chosen["difficulty"])
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= _MOST_SEED:
            raise ConfigError(f"seed {seed!r} is no integer from 0 to 2^63-1")
        world = self.store.fresh(seed, chosen["difficulty"])
        return CrafterGame(world, chosen["observation"])

    def step_rewards(self, options: Mapping[str, Any]) -> rewards.DecisionRewarder:
        """Rewards the decisions of one episode; `options` is a config's step_rewards section."""
        return rewards.DecisionRewarder(rewards.read_step_rewards(options))

    def restore(self, snapshot: bytes) -> CrafterGame:
        world, extra, seen = decode_world(snapshot)
        if extra.get("observation") not in text.FORMATS:
            raise TaskError("the snapshot is of a fresh world, not of a game", retryable=False)
        game = CrafterGame(world, extra["observation"], Memory(seen))
        game.unlocked = dict(extra["unlocked"])
        return game

    def messages(self, game: CrafterGame, past: Sequence[PastCall]) -> list[Message]:
        return text.build_messages(game.text(), past, game.observation)

    def read_call(self, name: str, arguments: Mapping[str, Any]) -> list[Action]:
        return list(calls.read_call(name, arguments))

    def failed_call(self, code: str) -> list[Action]:
        del code
        return []
