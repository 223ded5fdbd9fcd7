"""Makes a trace of what a remote task app told, and plays it again here to see whether it is true.

What the app tells is a claim. Where it names seed and actions of a world that we have, the same
actions are played in ours: if achievements, positions and inventories come out as told, the trace
gets our steps, views and state hashes and can be replayed and forked like any other (`verified`).
If not, it keeps what was told, without pictures, in a world of its own, so that it is never paired
with games of ours.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from itertools import islice, takewhile

from engine.errors import EngineError, ReplyError
from engine.llm.replies import Prices
from engine.rollout.recording import Ending, EpisodeSpec, PlayerOptions, summarise
from engine.rollout.remote.answers import Told, ToldTurn
from engine.rollout.resimulate import differs
from engine.tasks.base import Action, DecisionRewards, Game, Task
from engine.traces.record import EpisodeKey, Step, Trace, Turn

REMOTE_WORLD = "remote"
_STATUS = {
    "partial_policy_error": "model_error",
    "partial_no_tool_calls": "done",
    "partial_invalid_action": "done",
}


class ToldEpisode:
    """The trace of one episode while it is put together. `game` is the fresh world of its seed."""

    def __init__(
        self,
        task: Task,
        options: PlayerOptions,
        game: Game,
        spec: EpisodeSpec,
        prices: Prices,
        rewards: DecisionRewards | None,
    ) -> None:
        self.task, self.options, self.game = task, options, game
        self.prices, self.rewards = prices, rewards
        self.key = EpisodeKey(task.name, game.world_version, *spec)
        self.first_view, self.first_hash = game.view(), game.state_hash()
        self.turns: list[Turn] = []
        self.steps: list[Step] = []
        self.achieved: list[list[str]] = []  # of each turn that was played here, also again
        self.achievements: list[str] = []
        self.outcome: float | None = None
        self.end = Ending("task_error")
        self.verified: bool | None = None
        self.note = ""

    def take(self, told: Told, n_retries: int) -> None:
        """Make turns and steps of what was told, and say whether it came out the same here."""
        played = [_read_actions(self.task, turn) for turn in told.turns]
        reason = self._play(told, played)
        self.verified = not reason if told.turns else None
        self.note = reason
        if reason:
            self.steps = []
        for index, (said, (actions, error)) in enumerate(zip(told.turns, played, strict=True)):
            self.turns.append(self._turn(index, said, actions, error, bool(reason)))
        if self.turns:
            self.turns[0].n_retries = n_retries
        names = [name for turn in self.turns for name in turn.unlocked]
        self.achievements = list(dict.fromkeys(names + (told.achievements or [])))
        self.outcome = told.outcome if reason else self.game.outcome()
        if reason:
            self.key = self.key._replace(world_version=REMOTE_WORLD)
            self.first_view, self.first_hash = b"", ""
        elif told.turns:
            self.note = f"played again here: {len(self.steps)} steps came out as the task app told"
        self.end = self._ending(told)

    def _play(self, told: Told, played: list[tuple[list[Action], ReplyError | None]]) -> str:
        """Play every turn here; "" when all came out as told, else the first difference."""
        texts = [turn.text for turn in told.turns[1:]] + [told.text]
        for index, (turn, (actions, _)) in enumerate(zip(told.turns, played, strict=True)):
            try:
                reason = self._play_turn(index, turn, actions) or differs(
                    texts[index], self.game.details()
                )
            except EngineError as err:
                reason = str(err)
            if reason:
                return f"turn {index}: {reason}"
        if told.achievements is not None and set(told.achievements) != set(self.game.unlocked):
            return _two_ways(set(told.achievements), set(self.game.unlocked))
        return ""

    def _play_turn(self, index: int, told: ToldTurn, actions: list[Action]) -> str:
        unlocked, reward, achieved = set[str](), 0.0, list[str]()
        self.achieved.append(achieved)
        for action in actions:
            if len(self.steps) >= self.options.max_steps:
                break
            result = self.game.step(action)
            view, state_hash = self.game.view(), self.game.state_hash()
            self.steps.append(
                Step(index, str(action), result.reward, view, state_hash, tuple(result.unlocked))
            )
            unlocked.update(result.unlocked)
            achieved.extend(result.achieved)
            reward += result.reward
            if result.done:
                break
        if self.task.achievements:
            return (
                ""
                if unlocked == set(told.achievements)
                else _two_ways(set(told.achievements), unlocked)
            )
        if told.reward is not None and abs(told.reward - reward) > 1e-6:
            return f"reward {told.reward:g} as told, {reward:g} when played here"
        return ""

    def _turn(
        self, index: int, said: ToldTurn, actions: list[Action], error: ReplyError | None,
        unverified: bool,
    ) -> Turn:  # fmt: skip
        turn = Turn(
            index=index,
            messages=said.messages or [{"role": "user", "content": said.text}],
            content=said.content,
            raw_calls=said.calls,
            actions=[] if error else [str(action) for action in actions],
            error_code=error.code if error else "",
            error=str(error) if error else "",
            finish_reason=said.finish_reason,
            model_ms=round(said.model_ms, 3),
            env_ms=round(said.env_ms, 3),
            prompt_tokens=said.prompt_tokens,
            completion_tokens=said.completion_tokens,
            cost_usd=self.prices.cost(said.prompt_tokens, said.completion_tokens),
        )
        if unverified:
            self._add_told_steps(turn, said)
        before = self.turns[-1] if self.turns else None
        turn.first_step = before.first_step + before.n_steps if before else 0
        behind = islice(self.steps, turn.first_step, None)
        own = list(takewhile(lambda step: step.turn == index, behind))
        turn.n_steps = len(own)
        turn.reward = sum(step.reward for step in own)
        turn.unlocked = [name for step in own for name in step.unlocked]
        turn.achieved = turn.unlocked if unverified else self.achieved[index]
        turn.step_reward = self._step_reward(turn, said)
        return turn

    def _add_told_steps(self, turn: Turn, said: ToldTurn) -> None:
        """Steps without pictures: what a turn was worth stands at its last one."""
        reward = float(len(said.achievements)) if said.reward is None else said.reward
        for action in turn.actions or ([""] if reward or said.achievements else []):
            self.steps.append(Step(turn.index, action, 0.0, b"", ""))
        if self.steps and self.steps[-1].turn == turn.index:
            self.steps[-1].reward = reward
            self.steps[-1].unlocked = tuple(said.achievements)

    def _step_reward(self, turn: Turn, said: ToldTurn) -> float:
        """As the task app tells it; else by the run's own rules."""
        ours = 0.0
        if self.rewards:
            ours = self.rewards.decision(
                turn.unlocked, turn.reward, turn.achieved, actions=turn.actions
            )
        return ours if said.step_reward is None else said.step_reward

    def _ending(self, told: Told) -> Ending:
        n_turns, ending = len(told.turns), self.game.ending() if self.verified else ""
        if told.status in _STATUS:
            words = told.status.removeprefix("partial_").replace("_", " ")
            if _STATUS[told.status] == "model_error":
                return Ending("model_error", error=f"{words}: {told.error or 'no reason was told'}")
            return Ending("done", f"the task app ended it: {words}")
        if told.aborted:
            return Ending("limit", "the task app cut it off")
        if ending:
            return Ending("died" if ending.startswith("died") else "done", ending)
        truncated = bool(told.turns) and told.turns[-1].truncated
        if truncated and len(self.steps) >= self.options.max_steps:
            return Ending("max_steps")
        if n_turns >= self.options.max_turns:  # which apps call truncated too, or not
            return Ending("max_turns")
        if truncated:
            return Ending("limit", "the task app cut it off")
        return Ending("done", f"the task app ended it after {n_turns} turns")

    def trace(self) -> Trace:
        """The episode as far as it is known."""
        summary = summarise(self.key, self.options, self.turns, self.steps, self.end)
        last = self.steps[-1] if self.steps else None
        outcome = float(len(self.achievements)) if self.outcome is None else self.outcome
        summary = replace(
            summary,
            achievements=self.achievements,
            n_achievements=len(self.achievements),
            outcome_reward=outcome,
            final_hash=last.state_hash if last else self.first_hash,
            final_view=base64.b64encode(last.view if last else self.first_view).decode(),
        )
        options, tools = dict(self.options.task_options), self.task.tools
        return Trace(
            summary,
            options,
            tools,
            self.first_view,
            self.first_hash,
            self.turns,
            self.steps,
            verified=self.verified,
            verify_note=self.note,
        )


def _read_actions(task: Task, told: ToldTurn) -> tuple[list[Action], ReplyError | None]:
    """What a told turn played; with the reason when its calls are none that the task knows."""
    try:
        if not told.calls:
            raise ReplyError("The model made no tool call.", code="no_call")
        actions: list[Action] = []
        for call in told.calls:
            arguments = json.loads(call["arguments"] or "{}")
            if not isinstance(arguments, dict):
                raise ReplyError("The arguments are no object.", code="bad_arguments")
            actions += task.read_call(call["name"], arguments)
        return actions, None
    except ReplyError as err:
        return task.failed_call(err.code), err
    except (ValueError, RecursionError):
        return task.failed_call("bad_json"), ReplyError("No JSON.", code="bad_json")


def _two_ways(told: set[str], found: set[str]) -> str:
    said, ours = ", ".join(sorted(told)), ", ".join(sorted(found))
    return f"unlocked {said or 'nothing'} as told, {ours or 'nothing'} when played here"
