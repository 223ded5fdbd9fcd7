"""Plays episodes through a remote task app: it makes the model calls and steps its own world.

Lives here: what is asked for. Not here: the call itself (`client.py`), what becomes of the answer
(`answers.py`, `episode.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engine.errors import TaskError
from engine.llm.replies import Prices
from engine.rollout.recording import Ending, EpisodeSpec, PlayerOptions
from engine.rollout.remote.answers import read_rollout
from engine.rollout.remote.client import TaskAppClient
from engine.rollout.remote.episode import ToldEpisode
from engine.tasks.base import DecisionRewards, Game, Task
from engine.traces.record import Trace


@dataclass(frozen=True, slots=True)
class RemoteTask:
    """What the task app is told beside seed and limits. `api_key` is a key of ours, for ours only.

    run names the episodes; env_config and policy_config are sent as they are.
    """

    run: str
    inference_url: str
    api_key: str = ""
    policy_name: str = ""
    env_config: dict[str, Any] = field(default_factory=dict)
    policy_config: dict[str, Any] = field(default_factory=dict)
    prices: Prices = field(default_factory=Prices)


@dataclass(slots=True)
class Allowance:
    """What the episodes of a shard may use together: the limits of one, times their number.

    The task app knows neither limit: no episode is cut off, but once all is used up none begins.
    """

    tokens: int | None = None
    cost_usd: float | None = None
    used_tokens: int = 0
    used_usd: float = 0.0

    def check(self) -> None:
        """Raise TaskError when it is used up."""
        words = ""
        if self.tokens is not None and self.used_tokens >= self.tokens:
            words = f"{self.used_tokens} of {self.tokens} tokens"
        elif self.cost_usd is not None and self.used_usd >= self.cost_usd:
            words = f"{self.used_usd:.4f} of {self.cost_usd:g} USD"
        if words:
            raise TaskError(
                f"Not begun: the episodes before used {words}, all that this shard's may together.",
                code="used_up",
                retryable=False,
                hint="Raise limits.tokens or limits.cost_usd, or play fewer turns.",
            )

    def add(self, trace: Trace) -> None:
        """Count what an episode used, as the task app told it."""
        summary = trace.summary
        self.used_tokens += summary.prompt_tokens + summary.completion_tokens
        self.used_usd += summary.cost_usd


class RemotePlayer:
    """Takes the place of a policy in a rollout: whole episodes are played elsewhere."""

    def __init__(
        self,
        task: Task,
        options: PlayerOptions,
        client: TaskAppClient,
        asked: RemoteTask,
        rewards: Callable[[], DecisionRewards] | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        self.name = client.url
        self.task, self.options, self.client, self.asked = task, options, client, asked
        self.rewards = rewards
        self.allowance = allowance or Allowance()

    async def play(self, game: Game, spec: EpisodeSpec) -> Trace:
        """One episode; `game` is the fresh world of its seed here. Raises only for bugs.

        A task app that breaks, is late or answers something else ends this episode as task_error;
        cancelling the asyncio task ends it as cancelled.
        """
        started_at, started = time.time(), time.monotonic()
        rewards = self.rewards() if self.rewards else None
        episode = ToldEpisode(self.task, self.options, game, spec, self.asked.prices, rewards)
        try:
            self.allowance.check()
            answer, n_retries = await self.client.rollout(self.request(spec))
            told = read_rollout(answer)
            await asyncio.to_thread(episode.take, told, n_retries)
        except TaskError as err:
            episode.end = Ending("task_error", error=f"{err.code}: {err} {err.hint}".strip())
        except asyncio.CancelledError:
            episode.end = Ending("cancelled")
        trace = episode.trace()
        self.allowance.add(trace)
        trace.summary.started_at = started_at
        trace.summary.duration_s = round(time.monotonic() - started, 4)
        return trace

    async def close(self) -> None:
        """Close the connections to the task app."""
        await self.client.close()

    def request(self, spec: EpisodeSpec) -> dict[str, Any]:
        """The body of `/rollout` for one episode."""
        options, asked = self.options, self.asked
        safety: dict[str, Any] = {"max_ops": 2 * options.max_turns}
        if options.seconds is not None:
            safety["max_time_s"] = options.seconds
        return {
            "run_id": f"{asked.run}-{spec.seed}-{spec.repeat}",
            "env": {
                "env_name": self.task.name,
                "seed": spec.seed,
                "config": {
                    **options.task_options,
                    "env_params": {"max_steps_per_episode": options.max_steps},
                    **asked.env_config,
                },
            },
            "policy": {"policy_name": asked.policy_name, "config": self._policy_config()},
            "ops": ["agent", "env"] * options.max_turns,
            "record": {
                "trajectories": True,
                "logprobs": True,
                "return_trace": True,
                "trace_format": "compact",
            },
            "on_done": "terminate",
            "safety": safety,
            "training_session_id": asked.run,
            "mode": "eval",
        }

    def _policy_config(self) -> dict[str, Any]:
        """How the task app asks the model."""
        options, asked = self.options, self.asked
        sampling = options.sampling
        return {
            "model": options.model,
            "inference_url": asked.inference_url,
            **({"api_key": asked.api_key} if asked.api_key else {}),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "max_llm_calls": options.max_turns,
            "use_tools": options.use_tools,
            **sampling.extra,
            **asked.policy_config,
        }
