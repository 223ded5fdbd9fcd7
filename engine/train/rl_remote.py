"""Games of a training that a task app elsewhere plays, with the ids that were sampled here.

The task app asks the model at an address of its episode (`engine/serve/recorder.py`). What it tells
afterwards is read as in an eval; a told turn is trained on only where its call is the one that was
sampled, so that no reward is ever given to other tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import TaskError
from engine.llm.types import Reply
from engine.rollout.recording import EpisodeSpec, PlayerOptions
from engine.rollout.remote import RemotePlayer, RemoteTask, TaskAppClient
from engine.serve.recorder import Recorder
from engine.tasks.base import DecisionRewards, Game, Task
from engine.traces.record import Trace, Turn


@dataclass(frozen=True)
class RemoteGames:
    """A task app that plays. `client()` makes a connection for one round of games (one event loop);
    it must try an episode once only: a second try would be recorded behind the first."""

    client: Callable[[], TaskAppClient]
    asked: RemoteTask
    port: int = 0  # where the model answers; 0: any


class RecordedPlayer(RemotePlayer):
    """A remote player whose turns come back with their token ids."""

    def __init__(
        self,
        task: Task,
        options: PlayerOptions,
        games: RemoteGames,
        recorder: Recorder,
        rewards: Callable[[], DecisionRewards] | None,
    ) -> None:
        super().__init__(task, options, games.client(), games.asked, rewards)
        self.recorder = recorder
        self.n_unmatched = 0  # told turns that are none of the sampled calls

    async def play(self, game: Game, spec: EpisodeSpec) -> Trace:
        try:
            trace = await super().play(game, spec)
        finally:
            replies = self.recorder.close(spec)
        self.n_unmatched += attach(trace.turns, replies)
        return trace

    def request(self, spec: EpisodeSpec) -> dict[str, Any]:
        body = super().request(spec)
        body["policy"]["config"]["inference_url"] = self.recorder.open(spec)
        return body

    def check(self) -> None:
        """Raises what ended the model, or TaskError when nobody asked it anything."""
        if self.recorder.failed is not None:
            raise self.recorder.failed
        if not self.recorder.n_calls:
            raise TaskError(
                f"The task app at {self.name} asked the model of this training nothing.",
                code="task_app_silent",
                retryable=False,
                hint="It has to call the inference_url of each rollout, which is an address of "
                f"this machine: port {self.recorder.port}.",
            )


def attach(turns: Sequence[Turn], replies: Sequence[Reply]) -> int:
    """Give each told turn the ids of its call; how many turns are none of the calls in order.

    A last call that became no turn (no tool call, the app stopped there) is left out.
    """
    if len(replies) not in (len(turns), len(turns) + 1):
        return len(turns)
    n_unmatched = 0
    for turn, reply in zip(turns, replies, strict=False):
        if _told(turn) != _sampled(reply):
            n_unmatched += 1
            continue
        turn.prompt_ids, turn.completion_ids = list(reply.prompt_ids), list(reply.completion_ids)
        turn.logprobs, turn.finish_reason = list(reply.logprobs), reply.finish_reason
        turn.pieces = list(reply.pieces)
    return n_unmatched


def _told(turn: Turn) -> list[Any]:
    return [_arguments(call["arguments"]) for call in turn.raw_calls]


def _sampled(reply: Reply) -> list[Any]:
    return [_arguments(call.arguments) for call in reply.tool_calls]


def _arguments(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
