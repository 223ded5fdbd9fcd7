"""What a task app is: the protocol that every game or benchmark implements.

Lives here: the protocol. Games live in `engine/tasks/NAME/`, the registry in `engine/tasks`.
A task makes games; a game is one episode's world. The player (`engine/rollout`) drives it:
`messages -> model -> tool call -> read_call -> step, step, ... -> messages`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

Action = int | str
Message = dict[str, Any]  # an OpenAI chat message


class StepResult(NamedTuple):
    """What one action did."""

    reward: float  # the environment's own reward for the step
    done: bool  # over by the rules (death, answered)
    unlocked: tuple[str, ...]  # achievements new in this step
    achieved: tuple[str, ...] = ()  # all that it did, those of earlier steps again


class PastCall(NamedTuple):
    """An earlier tool call of the episode, as the prompt shows it."""

    actions: tuple[str, ...]  # the names that were played; empty when the call failed
    error: str  # why it failed, told to the model; "" when it did not


class ScriptedCall(NamedTuple):
    """What a scripted policy answers: one tool call."""

    name: str
    arguments: dict[str, Any]


# messages of the turn, turn key (seed, repeat, turn) -> call. Nothing else may decide it.
Scripted = Callable[[Sequence[Message], tuple[int, int, int]], ScriptedCall]


class Game(Protocol):
    """One running episode. Deterministic: seed, options and actions decide everything."""

    seed: int
    world_version: str  # the rules, and those options that make the seed's world another one
    n_steps: int
    unlocked: dict[str, int]  # achievement -> step index (from 1) at which it was unlocked

    def text(self) -> str:
        """The observation in the task's own words, in the format chosen by the options."""
        ...

    def step(self, action: Action) -> StepResult:
        """Play one action. Raises TaskError when the game is over or the action unknown."""
        ...

    def view(self) -> bytes:
        """The compact picture of the current state, about 100 bytes; layout in the task's docs."""
        ...

    def state_hash(self) -> str:
        """16 hex digits over the whole state, the same in every process."""
        ...

    def ending(self) -> str:
        """Why the game is over by its rules ("died: zombie", "answered"), "" while it runs."""
        ...

    def outcome(self) -> float:
        """What the episode is worth as it stands: unique achievements, or 1 for solved and 0."""
        ...

    def details(self) -> dict[str, Any]:
        """JSON-ready facts of the current state (inventory, position, health, ...)."""
        ...

    def snapshot(self) -> bytes:
        """The whole state; `Task.restore` continues from it exactly."""
        ...


class DecisionRewards(Protocol):
    """Rewards the decisions (turns) of one episode, in order; made by `Task.step_rewards`."""

    def decision(
        self,
        new: Sequence[str],
        env_reward: float = 0.0,
        achieved: Sequence[str] | None = None,
        actions: Sequence[str] = (),
    ) -> float:
        """The reward of the next decision: what it unlocked, the environment's own reward, what
        it achieved (new or again; None: only what is new), the actions that were played."""
        ...


class Task(Protocol):
    """A task app. `name` is canonical, `aliases` are accepted, `world_version` names the rules."""

    name: str
    aliases: tuple[str, ...]
    world_version: str
    achievements: tuple[str, ...]
    actions: tuple[str, ...]
    tools: list[dict[str, Any]]  # OpenAI tool definitions
    tool_choice: dict[str, Any]
    scripted: Mapping[str, Scripted]  # policies that need no model: "random", "guide"

    def new_game(self, seed: int, options: Mapping[str, Any]) -> Game:
        """A fresh world. options: difficulty, observation (format), and the task's own keys.

        Raises ConfigError for an option that it does not know.
        """
        ...

    def restore(self, snapshot: bytes) -> Game:
        """Continue from `Game.snapshot()` of the same world version. Raises TaskError."""
        ...

    def messages(self, game: Game, past: Sequence[PastCall]) -> list[Message]:
        """The prompt of the next turn: one system and one user message."""
        ...

    def read_call(self, name: str, arguments: Mapping[str, Any]) -> list[Action]:
        """The actions of one tool call. Raises ReplyError (see its codes): words for the model."""
        ...

    def failed_call(self, code: str) -> list[Action]:
        """What a reply that is no usable call plays; `code` is its ReplyError's. Mostly nothing."""
        ...

    def step_rewards(self, options: Mapping[str, Any]) -> DecisionRewards:
        """For one episode, from a config's step_rewards section. Raises ConfigError."""
        ...
