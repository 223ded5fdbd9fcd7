"""The trace of one episode: what was seen, said and done, enough to replay, check and train on.

Lives here: the record in memory. Its compressed file form is `codec.py`; tracing v3 is elsewhere.
An episode is its seed, its actions and what the model said. Steps are never database rows: rows
are made of `EpisodeSummary` (lists, filters, charts), everything else is the payload.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

# How an episode ended. model_error and task_error are broken episodes: data, but not scores.
ENDINGS = (
    "done",  # the task's own end (answered)
    "died",
    "max_steps",
    "max_turns",
    "limit",  # seconds, tokens or cost ran out
    "model_error",
    "task_error",
    "cancelled",
)
BROKEN = frozenset(("model_error", "task_error", "cancelled"))


class EpisodeKey(NamedTuple):
    """What identifies an episode within a run. Pairs share (task, world_version, seed, repeat)."""

    task: str
    world_version: str
    seed: int
    repeat: int
    policy_version: int  # 0 outside RL; the iteration in RL


@dataclass(slots=True)
class Step:
    """One environment action. `view` is the picture after it, `state_hash` 16 hex digits."""

    turn: int
    action: str
    reward: float
    view: bytes
    state_hash: str
    unlocked: tuple[str, ...] = ()


@dataclass(slots=True)
class Turn:
    """One model call: prompt, answer, parsed actions, times.

    `messages` are exactly what was sent. `raw_calls` are the tool calls as the model made them.
    A failed call has `error_code` and `error` (told to the model) and no actions.
    Offsets are ms since the episode began (monotonic); logprobs are natural logs.
    """

    index: int
    messages: list[dict[str, Any]]
    content: str
    raw_calls: list[dict[str, str]]  # {"id", "name", "arguments"}
    actions: list[str]
    error_code: str = ""
    error: str = ""
    finish_reason: str = ""
    unlocked: list[str] = field(default_factory=list)
    reward: float = 0.0  # sum of the environment's rewards of this turn's steps
    step_reward: float = 0.0  # the shaped decision reward (CONTRACT: step rewards)
    first_step: int = 0  # index of the first step of this turn
    n_steps: int = 0
    started_ms: float = 0.0
    queue_ms: float = 0.0
    model_ms: float = 0.0
    env_ms: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    n_retries: int = 0
    prompt_ids: list[int] = field(default_factory=list)
    completion_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)  # what each sampled token says, where known
    achieved: list[str] = field(default_factory=list)  # new or again; while it is played only


@dataclass(slots=True)
class EpisodeSummary:
    """One row: all that lists, filters and charts need. `turns` and `unlocks` are small rows."""

    task: str
    world_version: str
    seed: int
    repeat: int
    policy_version: int
    policy: str  # random | guide | provider name
    model: str  # model id as the config names it; "" for scripted policies
    provider: str
    temperature: float
    episode_return: float  # sum of the environment's rewards
    outcome_reward: float  # unique achievements for Crafter, correctness for Math
    n_achievements: int  # unique
    achievements: list[str]  # in order of unlocking
    n_steps: int
    n_turns: int
    n_failed_calls: int
    ended: str  # one of ENDINGS
    ending: str  # in words: "died: zombie"
    error: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    started_at: float  # epoch seconds
    duration_s: float  # monotonic
    final_hash: str
    step_reward: float = 0.0  # sum of the shaped decision rewards
    final_view: str = ""  # base64 of the last view: the thumbnail
    # {index, actions, error_code, unlocked, reward, n_steps, prompt_tokens, completion_tokens,
    #  queue_ms, model_ms, env_ms}
    turns: list[dict[str, Any]] = field(default_factory=list)
    unlocks: list[dict[str, Any]] = field(default_factory=list)  # {name, step (from 1), turn}

    def to_json(self) -> dict[str, Any]:
        """All fields by name; lists are shared, not copied."""
        return {name: getattr(self, name) for name in _SUMMARY_FIELDS}


_SUMMARY_FIELDS = tuple(field.name for field in fields(EpisodeSummary))


@dataclass(slots=True)
class Trace:
    """A whole episode. `first_view` and `first_hash` belong to the fresh world, before any step.

    `options` are the task's options that made the world; seed + options + actions replay it.
    `tools` are the tool definitions that every turn was sent with. `origin`: the rows of the
    tracing v3 session that it was imported from, which an export gives back as they were.
    """

    summary: EpisodeSummary
    options: dict[str, Any]
    tools: list[dict[str, Any]]
    first_view: bytes
    first_hash: str
    turns: list[Turn] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    origin: dict[str, Any] | None = None
    # Of a game that a remote task app played: whether it came out as told when played again here,
    # and in words. Not in the file but in the episode's event; None: nothing to compare.
    verified: bool | None = None
    verify_note: str = ""

    @property
    def key(self) -> EpisodeKey:
        s = self.summary
        return EpisodeKey(s.task, s.world_version, s.seed, s.repeat, s.policy_version)
