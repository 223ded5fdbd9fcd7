"""`/rollout`: one episode through our own player, at most so many at once; abort and status by run.

Lives here: from the request to the played and stored trace. Not here: the answer's shape
(`answers.py`), who plays (`choosing.py`). A client that hangs up ends its episode: what was played
is stored all the same.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from engine.errors import ConfigError
from engine.http import bodies
from engine.http.answers import rollout_answer
from engine.http.choosing import BUILTIN, Chosen, choose_policy, sampling_of
from engine.http.env_routes import EnvRoutes
from engine.http.environments import Environment
from engine.http.keeping import Keeper
from engine.http.played import Played, metadata_of
from engine.http.problems import Problem
from engine.http.served import Served
from engine.rollout.opening import Opening
from engine.rollout.player import play_episode
from engine.rollout.recording import EpisodeSpec, PlayerOptions
from engine.tasks.base import DecisionRewards, Game
from engine.traces.record import Trace
from engine.traces.v3.building import build_session
from engine.traces.v3.call_record import iso

_RUNS_KEPT = 10_000


@dataclass
class Run:
    """Rollouts of one run_id: clients use an id again and again, also at the same time."""

    run_id: str
    started_at: float
    ended_at: float | None = None
    aborted: bool = False
    playing: set[asyncio.Task[Trace]] = field(default_factory=set)

    def to_json(self) -> dict[str, Any]:
        status = "aborted" if self.aborted else "running" if self.playing else "completed"
        return {
            "run_id": self.run_id,
            "status": status,
            "started_at": iso(self.started_at),
            "finished_at": iso(self.ended_at) if self.ended_at else None,
        }


class Runs:
    """All runs of this process; the oldest that are over make room."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, Run] = OrderedDict()

    @property
    def n_playing(self) -> int:
        return sum(len(run.playing) for run in self._runs.values())

    def enter(self, run_id: str, task: asyncio.Task[Trace]) -> Run:
        """Note that a rollout of this run plays."""
        run = self._runs.setdefault(run_id, Run(run_id, time.time()))
        self._runs.move_to_end(run_id)
        if not run.playing:
            run.aborted, run.ended_at = False, None
        run.playing.add(task)
        while len(self._runs) > _RUNS_KEPT and not next(iter(self._runs.values())).playing:
            self._runs.popitem(last=False)
        return run

    def end_all(self) -> None:
        """End every rollout: the process is to stop, and what was played is to be kept."""
        for run in self._runs.values():
            run.aborted = bool(run.playing) or run.aborted
            for task in run.playing:
                task.cancel()

    def leave(self, run: Run, task: asyncio.Task[Trace]) -> None:
        run.playing.discard(task)
        run.ended_at = time.time()

    def get(self, run_id: str) -> Run:
        """Raises Problem(404)."""
        if run_id not in self._runs:
            raise Problem(404, "unknown_run", f"Run {run_id[:200]} not found")
        return self._runs[run_id]


class RolloutRoutes:
    """The calls, for one task."""

    def __init__(self, served: Served, environments: EnvRoutes, keeper: Keeper, runs: Runs) -> None:
        self.served, self.environments = served, environments
        self.keeper, self.runs = keeper, runs

    async def rollout(self, request: Request, given: dict[str, Any]) -> dict[str, Any]:
        """Play one episode. Whatever the model or the game does, the answer is 200."""
        body = bodies.RolloutBody.model_validate(given)
        n_turns = self._check(body)
        rewards = self._rewards(body)
        game, old = await self._open(body)
        chosen = await choose_policy(
            body.policy.config,
            self.served.task,
            self.served.settings,
            self.served.makers,
            token_ids=body.record.logprobs,
        )
        opening = old.opening if old else None
        options = self._options(body, chosen, n_turns, opening)
        if self.runs.n_playing >= self.served.settings.limits.rollouts:
            words = f"{self.runs.n_playing} rollouts are being played."
            raise Problem(429, "too_many_rollouts", words, "Come back later.", retry_after_s=2)
        try:
            trace, aborted = await self._play(
                request, body, game, chosen, options, rewards, opening
            )
        finally:
            await chosen.policy.close()
        played = Played(
            body, self.served, chosen, game, trace, rewards, aborted,
            env_id=old.env_id if old else self.served.face.env_id(game) or str(uuid.uuid4()),
            policy_id=body.policy.policy_id or str(uuid.uuid4()),
            n_before=len(opening.turns) if opening else 0,
        )  # fmt: skip
        session = build_session(trace, session_id=body.run_id, metadata=metadata_of(played))
        await self.keeper.keep(session)
        self._leave(body, old)
        return rollout_answer(played, session)

    async def abort(self, request: Request, given: dict[str, Any]) -> dict[str, Any]:
        """End all rollouts of a run; each answers its caller with what was played."""
        run = self.runs.get(bodies.RunBody.model_validate(given).run_id)
        run.aborted = bool(run.playing) or run.aborted
        for task in run.playing:
            task.cancel()
        return {"ok": True, "run_id": run.run_id}

    async def status(self, request: Request, given: dict[str, Any]) -> dict[str, Any]:
        """How a run is doing."""
        return self.runs.get(request.path_params["run_id"]).to_json()

    def _check(self, body: bodies.RolloutBody) -> int:
        """The number of turns. Raises Problem(422) for what is not played here."""
        limits, name = self.served.settings.limits, body.env.env_name
        if name and not self.served.plays(name):
            known = ", ".join(self.served.face.environments)
            words = f"There is no environment {name[:80]!r} here; there is: {known}."
            raise Problem(422, "unknown_environment", words)
        if len(body.ops) > limits.ops:
            raise Problem(422, "too_many_ops", f"ops has {len(body.ops)}; at most {limits.ops}.")
        try:
            return min(body.n_turns(), limits.turns)
        except ValueError as err:
            raise Problem(422, "bad_ops", str(err)) from err

    def _rewards(self, body: bodies.RolloutBody) -> DecisionRewards | None:
        """The policy's step_rewards before the environment's; none when neither names any."""
        section = body.policy.config.step_rewards or body.env.config.get("step_rewards")
        if not section:
            return None
        try:
            return self.served.task.step_rewards(section)
        except (ConfigError, TypeError, ValueError, AttributeError, OverflowError) as err:
            raise Problem(422, "config_error", f"step_rewards: {err}") from err

    async def _open(self, body: bodies.RolloutBody) -> tuple[Game, Environment | None]:
        """A fresh game, or that of an environment of the client's."""
        if body.env.env_id:
            old = self.environments.all.get(body.env.env_id)
            game = old.game()
            if game.ending():
                raise Problem(409, "episode_over", f"The episode is over: {game.ending()}.")
            return game, old
        options = self.served.face.read_options(body.env.config)
        return await self.served.new_game(body.env.seed, options), None

    def _options(
        self, body: bodies.RolloutBody, chosen: Chosen, n_turns: int, opening: Opening | None
    ) -> PlayerOptions:
        config, before = body.policy.config, opening or Opening(0)
        return PlayerOptions(
            task_options=before.options or self.served.face.read_options(body.env.config),
            max_turns=n_turns + len(before.turns),
            max_steps=self.served.max_steps(body.env.config),
            sampling=sampling_of(config),
            use_tools=config.use_tools,
            seconds=min(body.safety.max_time_s, self.served.settings.limits.seconds),
            policy=chosen.policy.name if chosen.provider == BUILTIN else self._policy_name(body),
            model=chosen.model,
            provider=chosen.provider,
        )

    def _policy_name(self, body: bodies.RolloutBody) -> str:
        return body.policy.policy_name or f"{self.served.name}-react"

    async def _play(
        self,
        request: Request,
        body: bodies.RolloutBody,
        game: Game,
        chosen: Chosen,
        options: PlayerOptions,
        rewards: DecisionRewards | None,
        opening: Opening | None,
    ) -> tuple[Trace, bool]:
        """The trace, and whether somebody ended it before its time."""
        task = asyncio.create_task(
            play_episode(
                self.served.task,
                game,
                EpisodeSpec(game.seed),
                chosen.policy,
                options,
                rewards=rewards,
                opening=opening,
            )
        )
        run = self.runs.enter(body.run_id, task)
        gone = asyncio.create_task(_hung_up(request))
        try:
            await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                task.cancel()
            trace = await task
        finally:
            gone.cancel()
            self.runs.leave(run, task)
        return trace, trace.summary.ended == "cancelled"

    def _leave(self, body: bodies.RolloutBody, old: Environment | None) -> None:
        """An environment that was played on is over with `terminate`; with `reset` it stays."""
        if old and body.on_done == "terminate":
            self.environments.all.end(old.env_id)


async def _hung_up(request: Request) -> None:
    """Returns when the client is gone; its body has been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
