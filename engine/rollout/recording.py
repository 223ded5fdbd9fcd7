"""What is written down of an episode: its options, its turns, its summary.

Lives here: how episodes are named and played (`EpisodeSpec`, `PlayerOptions`) and how turns and
summaries are made. Not here: the playing (`player.py`), the record's types (`engine/traces`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.errors import TaskError
from engine.llm.types import Reply, Sampling
from engine.tasks.base import Task
from engine.traces.record import EpisodeKey, EpisodeSummary, Step, Trace, Turn


class Ending(NamedTuple):
    """How an episode ended: one of ENDINGS, in words, and the error of a broken one."""

    ended: str
    ending: str = ""
    error: str = ""


class EpisodeSpec(NamedTuple):
    """Which episode is played."""

    seed: int
    repeat: int = 0
    policy_version: int = 0


@dataclass(frozen=True, slots=True)
class PlayerOptions:
    """How episodes are played; a limit of None does not end anything.

    task_options go to `Task.new_game`; seconds, tokens and cost_usd are of one episode.
    """

    task_options: dict[str, Any] = field(default_factory=dict)
    max_turns: int = 10
    max_steps: int = 10_000
    sampling: Sampling = field(default_factory=Sampling)
    use_tools: bool = True
    seconds: float | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    policy: str = ""
    model: str = ""
    provider: str = ""


def new_turn(
    index: int, first_step: int, started_ms: float, messages: list[dict[str, Any]], reply: Reply
) -> Turn:
    """The turn as the model left it; what its actions do is filled in by the player."""
    return Turn(
        index=index,
        messages=messages,
        content=reply.content,
        raw_calls=[
            {"id": c.id, "name": c.name, "arguments": c.arguments} for c in reply.tool_calls
        ],
        actions=[],
        finish_reason=reply.finish_reason,
        first_step=first_step,
        started_ms=started_ms,
        queue_ms=round(reply.queue_ms, 3),
        model_ms=round(reply.model_ms, 3),
        prompt_tokens=reply.usage.prompt_tokens,
        completion_tokens=reply.usage.completion_tokens,
        cost_usd=reply.usage.cost_usd,
        n_retries=reply.n_retries,
        prompt_ids=list(reply.prompt_ids),
        completion_ids=list(reply.completion_ids),
        logprobs=list(reply.logprobs),
        pieces=list(reply.pieces),
    )


def summarise(
    key: EpisodeKey,
    options: PlayerOptions,
    turns: Sequence[Turn],
    steps: Sequence[Step],
    end: Ending,
    n_before: int = 0,
) -> EpisodeSummary:
    """All of a summary that turns and steps say; the player adds times, scores and last state.

    n_before: turns of a branch that were played before the fork; they cost nothing again.
    """
    own = turns[n_before:]
    return EpisodeSummary(
        **key._asdict(),
        policy=options.policy,
        model=options.model,
        provider=options.provider,
        temperature=options.sampling.temperature,
        episode_return=sum(step.reward for step in steps),
        outcome_reward=0.0,
        n_achievements=0,
        achievements=[],
        n_steps=len(steps),
        n_turns=len(turns),
        n_failed_calls=sum(bool(turn.error_code) for turn in turns),
        **end._asdict(),
        prompt_tokens=sum(turn.prompt_tokens for turn in own),
        completion_tokens=sum(turn.completion_tokens for turn in own),
        cost_usd=sum(turn.cost_usd for turn in own),
        step_reward=sum(turn.step_reward for turn in own),
        started_at=0.0,
        duration_s=0.0,
        final_hash="",
        turns=[{name: getattr(turn, name) for name in _TURN_ROW} for turn in turns],
        unlocks=_unlocks(steps),
    )


def _unlocks(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """What was unlocked, at which step (from 1) of which turn."""
    return [
        {"name": name, "step": index, "turn": step.turn}
        for index, step in enumerate(steps, start=1)
        for name in step.unlocked
    ]


def broken_trace(task: Task, spec: EpisodeSpec, options: PlayerOptions, error: TaskError) -> Trace:
    """The trace of an episode whose world could not be made: no turn, no step, the reason."""
    key = EpisodeKey(task.name, task.world_version, *spec)
    end = Ending("task_error", error=f"{error.code}: {error}")
    summary = summarise(key, options, (), (), end)
    summary.started_at = time.time()
    return Trace(summary, dict(options.task_options), task.tools, b"", "")


_TURN_ROW = (
    "index", "actions", "error_code", "unlocked", "reward", "n_steps", "prompt_tokens",
    "completion_tokens", "queue_ms", "model_ms", "env_ms",
)  # fmt: skip
