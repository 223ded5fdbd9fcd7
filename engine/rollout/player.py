"""Plays one episode: prompt -> reply -> tool call -> actions -> steps, until something ends it.

Lives here: one episode and its trace. Not here: many at once (`loop.py`), the rules (`tasks`), who
answers (`policies.py`). The same player runs in a worker and behind a task app's `/rollout`.

A call that cannot be used is recorded with its reason, told to the model in the next prompt and
counted; it costs a turn and plays nothing. A model API or a game that breaks ends this episode as
model_error or task_error: a broken episode is data, its neighbours play on.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from engine.errors import ProviderError, ReplyError, TaskError
from engine.llm.toolcalls import read_reply
from engine.llm.types import ChatRequest, Policy, Reply
from engine.rollout.opening import Opening
from engine.rollout.recording import Ending, EpisodeSpec, PlayerOptions, new_turn, summarise
from engine.tasks.base import Action, DecisionRewards, Game, PastCall, Task
from engine.traces.record import EpisodeKey, EpisodeSummary, Step, Trace, Turn


class Watcher(Protocol):
    """Sees an episode while it is played; must return at once."""

    def begin(self, key: EpisodeKey, view: bytes, opening: Sequence[Step]) -> None:
        """The view of the world that is played on; `opening` are a branch's steps before it."""
        ...

    def turn(self, key: EpisodeKey, turn: Turn, steps: Sequence[Step]) -> None:
        """One model call and what its actions did."""
        ...


async def play_episode(
    task: Task,
    game: Game,
    spec: EpisodeSpec,
    policy: Policy,
    options: PlayerOptions,
    *,
    watcher: Watcher | None = None,
    rewards: DecisionRewards | None = None,
    opening: Opening | None = None,
) -> Trace:
    """Play `game` to its end and return its trace, whatever ended it.

    The game is fresh, or stands where its `opening` ends: then the trace holds that too.
    Cancelling the asyncio task that runs this ends the episode as `cancelled`: the trace so far is
    returned all the same. Raises only for bugs.
    """
    player = _Player(
        task, game, spec, policy, options, watcher, rewards, opening or Opening(spec.seed)
    )
    try:
        while not player.ended:
            await player.play_turn()
    except ProviderError as err:
        player.end("model_error", error=f"{err.code}: {err}")
    except TaskError as err:
        player.end("task_error", error=f"{err.code}: {err}")
    except asyncio.CancelledError:
        player.end("cancelled")
    return player.trace()


class _Player:
    """The state of one episode."""

    def __init__(
        self,
        task: Task,
        game: Game,
        spec: EpisodeSpec,
        policy: Policy,
        options: PlayerOptions,
        watcher: Watcher | None,
        rewards: DecisionRewards | None,
        opening: Opening,
    ) -> None:
        self.task, self.game, self.spec, self.policy = task, game, spec, policy
        self.options, self.watcher = options, watcher
        self.rewards = rewards
        self.key = EpisodeKey(task.name, game.world_version, *spec)
        self.opening = opening
        self.turns: list[Turn] = list(opening.turns)
        self.steps: list[Step] = list(opening.steps)
        self.past: list[PastCall] = opening.past
        self.ended = self.ending = self.error = ""
        self.started_at, self.started = time.time(), time.monotonic()
        view = game.view()
        self.first_view = opening.first_view or view
        self.first_hash = opening.first_hash or game.state_hash()
        if watcher:
            watcher.begin(self.key, view, opening.steps)

    def end(self, ended: str, *, ending: str = "", error: str = "") -> None:
        """Say how the episode ended; `ended` is one of ENDINGS."""
        self.ended, self.ending, self.error = ended, ending, error

    async def play_turn(self) -> None:
        """One model call and its actions. Raises ProviderError or TaskError."""
        started_ms = self._now_ms()
        messages = self.task.messages(self.game, self.past)
        reply = await self._ask(messages)
        if reply is None:
            return
        turn = new_turn(len(self.turns), len(self.steps), started_ms, messages, reply)
        self.turns.append(turn)
        self._act(turn, reply)
        if self.rewards:
            played = turn.actions[: turn.n_steps]
            turn.step_reward = self.rewards.decision(
                turn.unlocked, turn.reward, turn.achieved, actions=played
            )
        if self.watcher:
            self.watcher.turn(self.key, turn, self.steps[turn.first_step :])
        self._check_limits()

    async def _ask(self, messages: list[dict[str, Any]]) -> Reply | None:
        """The model's reply; None when the episode's time ran out while waiting for it."""
        request = ChatRequest(
            messages=messages,
            tools=self.task.tools if self.options.use_tools else [],
            tool_choice=self.task.tool_choice,
            sampling=self.options.sampling,
            turn_key=(self.spec.seed, self.spec.repeat, len(self.turns)),
        )
        seconds = self.options.seconds
        left_s = None if seconds is None else seconds - (time.monotonic() - self.started)
        try:
            async with asyncio.timeout(left_s):
                return await self.policy.reply(request)
        except TimeoutError:
            self.end("limit", ending=f"took longer than {seconds:g} s")
            return None

    def _act(self, turn: Turn, reply: Reply) -> None:
        """Parse the reply and play it; a call that cannot be used is told and plays nothing."""
        started = time.perf_counter()
        try:
            call = read_reply(reply, self.task.tools)
            actions = self.task.read_call(call.name, call.arguments)
            turn.actions = [str(action) for action in actions]
        except ReplyError as err:
            turn.error_code, turn.error = err.code, str(err)
            actions = self.task.failed_call(err.code)
        self._play(turn, actions)
        turn.env_ms = round((time.perf_counter() - started) * 1000, 3)
        self.past.append(PastCall(tuple(turn.actions[: turn.n_steps]), turn.error))

    def _play(self, turn: Turn, actions: Sequence[Action]) -> None:
        """The steps of one turn, as far as the episode lasts."""
        for action in actions:
            result = self.game.step(action)
            view, state_hash = self.game.view(), self.game.state_hash()
            step = Step(turn.index, str(action), result.reward, view, state_hash, result.unlocked)
            self.steps.append(step)
            turn.reward += result.reward
            turn.unlocked.extend(result.unlocked)
            turn.achieved.extend(result.achieved)
            if result.done:
                ending = self.game.ending()
                self.end("died" if ending.startswith("died") else "done", ending=ending)
            elif len(self.steps) >= self.options.max_steps:
                self.end("max_steps")
            if self.ended:
                break
        turn.n_steps = len(self.steps) - turn.first_step

    def _check_limits(self) -> None:
        """End the episode where its turns, tokens or money are used up."""
        own = self.turns[len(self.opening.turns) :]
        tokens = sum(turn.prompt_tokens + turn.completion_tokens for turn in own)
        cost = sum(turn.cost_usd for turn in own)
        limits = self.options
        if self.ended:
            return
        if len(self.turns) >= limits.max_turns:
            self.end("max_turns")
        elif limits.tokens is not None and tokens >= limits.tokens:
            self.end("limit", ending=f"used {tokens} of {limits.tokens} tokens")
        elif limits.cost_usd is not None and cost >= limits.cost_usd:
            self.end("limit", ending=f"cost {cost:.4f} of {limits.cost_usd:g} USD")

    def trace(self) -> Trace:
        """The episode as it stands."""
        return Trace(
            summary=self._summary(),
            options=dict(self.options.task_options),
            tools=self.task.tools,
            first_view=self.first_view,
            first_hash=self.first_hash,
            turns=self.turns,
            steps=self.steps,
        )

    def _summary(self) -> EpisodeSummary:
        end = Ending(self.ended, self.ending, self.error)
        took_s = time.monotonic() - self.started
        n_before = len(self.opening.turns)
        summary = summarise(self.key, self.options, self.turns, self.steps, end, n_before)
        last_view = self.steps[-1].view if self.steps else self.first_view
        achievements = sorted(self.game.unlocked, key=lambda name: self.game.unlocked[name])
        return replace(
            summary,
            achievements=achievements,
            n_achievements=len(achievements),
            outcome_reward=self.game.outcome(),
            started_at=self.started_at,
            duration_s=round(took_s, 4),
            final_hash=self.steps[-1].state_hash if self.steps else self.first_hash,
            final_view=base64.b64encode(last_view).decode(),
        )

    def _now_ms(self) -> float:
        own_ms = (time.monotonic() - self.started) * 1000
        return round(self.opening.elapsed_ms + own_ms, 3)
