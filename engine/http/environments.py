"""Environments by id: made, stepped, copied and ended by clients that bring their own agent.

Lives here: `Environments`, without HTTP. Not here: its routes (`env_routes.py`).
Between two calls an environment is a snapshot of 5 kB, so that hundreds wait at no cost and a call
that fails half way changes nothing. One event loop uses this; no method waits.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.errors import ReplyError
from engine.http.problems import Problem
from engine.rollout.opening import Opening
from engine.tasks.base import Action, Game, Task
from engine.tasks.face import Score
from engine.traces.record import Step, Turn


@dataclass(frozen=True)
class Environment:
    """One environment as it stands; a step makes a new one."""

    env_id: str
    task: Task
    options: dict[str, Any]
    state: bytes  # `Game.snapshot`
    opening: Opening
    score: Score = field(default_factory=Score)
    run_id: str = ""
    used_at: float = 0.0

    def game(self) -> Game:
        return self.task.restore(self.state)


class Environments:
    """All environments and snapshots of one task in this process."""

    def __init__(self, most: int, idle_s: float) -> None:
        self._most, self._idle_s = most, idle_s
        self._living: OrderedDict[str, Environment] = OrderedDict()
        self._snapshots: OrderedDict[str, Environment] = OrderedDict()

    def begin(
        self,
        task: Task,
        game: Game,
        options: Mapping[str, Any],
        *,
        max_steps: int,
        run_id: str = "",
        env_id: str = "",
    ) -> Environment:
        """A fresh environment, or `env_id` from its start. Raises Problem(429): too many."""
        opening = Opening(
            game.seed, game.world_version, dict(options), first_view=game.view(),
            first_hash=game.state_hash(),
        )  # fmt: skip
        made = Environment(
            env_id or _new_id(), task, dict(options), game.snapshot(), opening,
            Score(max_steps=max_steps), run_id,
        )  # fmt: skip
        return self.keep(made)

    def keep(self, environment: Environment) -> Environment:
        """Store an environment as the newest. Raises Problem(429) when there are too many."""
        now = time.monotonic()
        while self._living and now - next(iter(self._living.values())).used_at > self._idle_s:
            self._living.popitem(last=False)
        if environment.env_id not in self._living and len(self._living) >= self._most:
            raise Problem(
                429,
                "too_many_environments",
                f"{self._most} environments are open.",
                "Terminate those that are done with.",
                retry_after_s=10,
            )
        kept = replace(environment, used_at=now)
        self._living[kept.env_id] = kept
        self._living.move_to_end(kept.env_id)
        return kept

    def get(self, env_id: str) -> Environment:
        """The environment of that id. Raises Problem(404)."""
        try:
            return self._living[env_id]
        except KeyError:
            words = f"Environment {env_id} not found"
            raise Problem(404, "unknown_environment", words) from None

    def end(self, env_id: str) -> None:
        """Forget an environment. Raises Problem(404)."""
        self.get(env_id)
        del self._living[env_id]

    def step(
        self, env_id: str, actions: Sequence[Action], calls: Sequence[Mapping[str, Any]]
    ) -> tuple[Environment, Game, Turn, bool]:
        """Play actions as one turn, as far as the game lasts.

        Returns the environment, its game, what happened, whether it is over. Raises Problem(404,
        409 when it was over before).
        """
        environment = self.get(env_id)
        game, opening = environment.game(), environment.opening
        if game.ending():
            words = f"The episode is over: {game.ending()}. Reset it or begin another."
            raise Problem(409, "episode_over", words)
        turn = Turn(
            len(opening.turns), [], "",
            [{"id": f"call_{i}", "name": c["name"], "arguments": json.dumps(c["arguments"])}
             for i, c in enumerate(calls)],
            [], first_step=len(opening.steps),
        )  # fmt: skip
        steps: list[Step] = []
        for action in actions:
            result = game.step(action)
            turn.actions.append(str(action))
            turn.reward += result.reward
            turn.unlocked.extend(result.unlocked)
            steps.append(
                Step(turn.index, str(action), result.reward, game.view(), game.state_hash(),
                     result.unlocked)
            )  # fmt: skip
            if result.done or game.n_steps >= environment.score.max_steps:
                break
        turn.n_steps = len(steps)
        paid = call_reward(environment.task, turn)
        score = environment.score
        cut = game.n_steps >= score.max_steps and not game.ending()
        score = score._replace(last=paid, total=score.total + paid, truncated=cut)
        opening = replace(opening, turns=(*opening.turns, turn), steps=(*opening.steps, *steps))
        kept = self.keep(replace(environment, state=game.snapshot(), opening=opening, score=score))
        return kept, game, turn, bool(game.ending()) or cut

    def snapshot(self, env_id: str) -> tuple[str, Environment]:
        """Keep the state of an environment under an id of its own; the oldest make room."""
        environment, snapshot_id = self.get(env_id), _new_id()
        self._snapshots[snapshot_id] = environment
        while len(self._snapshots) > self._most:
            self._snapshots.popitem(last=False)
        return snapshot_id, environment

    def restore(self, snapshot_id: str) -> Environment:
        """A new environment that goes on from a snapshot. Raises Problem(404, 429)."""
        if snapshot_id not in self._snapshots:
            raise Problem(404, "unknown_snapshot", f"Snapshot {snapshot_id} not found")
        return self.copy(self._snapshots[snapshot_id])

    def copy(self, environment: Environment) -> Environment:
        """The same game under another id. Raises Problem(429)."""
        return self.keep(replace(environment, env_id=_new_id()))


def call_reward(task: Task, turn: Turn) -> float:
    """What a call is worth to clients: achievements new in it; without any, the task's own."""
    return float(len(turn.unlocked)) if task.achievements else turn.reward


def read_actions(
    task: Task, action: Any, tool_calls: Any
) -> tuple[list[Action], list[dict[str, Any]]]:
    """The actions of a step's body and the calls that they were read from.

    `{"tool_calls": [{"tool", "args"}]}` in any of the spellings in use, `{"actions": […]}`, or the
    arguments of the task's only tool. A call that cannot be used is played where the task says what
    that costs, else refused: Problem(422) with the reason, and nothing was played.
    """
    calls = _find_calls(task, action, tool_calls)
    actions: list[Action] = []
    try:
        for call in calls:
            actions += _read(task, call)
        if not calls:
            raise ReplyError("The step has no tool call and no actions.", code="no_call")
    except ReplyError as err:
        played = task.failed_call(err.code)
        if not played:
            raise Problem(422, err.code, str(err)) from err
        actions = list(played)
    return actions, calls


def _read(task: Task, call: Mapping[str, Any]) -> list[Action]:
    if not isinstance(call["arguments"], Mapping):
        raise ReplyError(f"The arguments of {call['name']} are no object.", code="bad_arguments")
    return task.read_call(call["name"], call["arguments"])


def _find_calls(task: Task, action: Any, tool_calls: Any) -> list[dict[str, Any]]:
    if isinstance(action, Mapping) and tool_calls is None:
        tool_calls = action.get("tool_calls")
        if tool_calls is None and action:
            return [{"name": task.tools[0]["function"]["name"], "arguments": dict(action)}]
    if tool_calls is None:
        return []
    if not isinstance(tool_calls, list) or not all(isinstance(c, Mapping) for c in tool_calls):
        raise Problem(422, "bad_arguments", "tool_calls is no list of objects.")
    return [_normal(call) for call in tool_calls]


def _normal(call: Mapping[str, Any]) -> dict[str, Any]:
    """{name, arguments} of a call in any spelling: tool/args, name/arguments, OpenAI's function."""
    function = call.get("function")
    source = function if isinstance(function, Mapping) else call
    name = source.get("tool", source.get("tool_name", source.get("name")))
    arguments = source.get("args", source.get("arguments", {}))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            pass  # said by whoever reads it: no object
    return {"name": name if isinstance(name, str) else "", "arguments": arguments}


def _new_id() -> str:
    return str(uuid.uuid4())
