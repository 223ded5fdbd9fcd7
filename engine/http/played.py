"""A rollout that is over, for those who tell its client and its trace about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from engine.http.bodies import RolloutBody
from engine.http.choosing import Chosen
from engine.http.environments import call_reward
from engine.http.served import Served
from engine.tasks.base import DecisionRewards, Game
from engine.traces.record import Trace, Turn


@runtime_checkable
class Accounts(Protocol):
    """Rewards of decisions that keep the record which clients read (Crafter's do)."""

    samples: list[dict[str, Any]]

    def details(self) -> dict[str, Any]:
        """`metrics.details.stepwise`."""
        ...


@dataclass(frozen=True)
class Played:
    """A rollout that is over. n_before: turns of its environment before the rollout."""

    body: RolloutBody
    served: Served
    chosen: Chosen
    game: Game
    trace: Trace
    rewards: DecisionRewards | None
    aborted: bool
    env_id: str
    policy_id: str
    n_before: int = 0

    @property
    def turns(self) -> list[Turn]:
        return self.trace.turns[self.n_before :]

    def reward(self, turn: Turn) -> float:
        return call_reward(self.served.task, turn)

    @property
    def total(self) -> float:
        return sum(self.reward(turn) for turn in self.turns)


def metadata_of(played: Played) -> dict[str, Any]:
    """What the session's metadata says beside what the trace does."""
    body = played.body
    return {
        "run_id": body.run_id,
        "policy_name": body.policy.policy_name or played.trace.summary.policy,
        "policy_id": played.policy_id,
        "env_name": body.env.env_name or played.served.face.environments[0],
        "env_id": played.env_id,
        "seed": played.game.seed,
        "env_seed": played.game.seed,
        "training_session_id": body.training_session_id,
        "synth_base_url": body.synth_base_url,
        "mode": body.mode,
        "final_achievements": played.trace.summary.achievements,
    }


def usage_of(turn: Turn) -> dict[str, int]:
    return {
        "prompt_tokens": turn.prompt_tokens,
        "completion_tokens": turn.completion_tokens,
        "total_tokens": turn.prompt_tokens + turn.completion_tokens,
    }
