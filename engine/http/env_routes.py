"""Routes of environments: `/env/NAME/initialize|step|terminate` and the same without `/env`, and
`/create /reset /step /terminate /snapshot /restore /branch` by env_id.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from engine.http import bodies
from engine.http.environments import Environment, Environments, read_actions
from engine.http.problems import Problem
from engine.http.served import Served
from engine.tasks.base import Game

Answer = dict[str, Any]


class EnvRoutes:
    """The calls, over the environments of one task."""

    def __init__(self, served: Served) -> None:
        limits = served.settings.limits
        self.served = served
        self.all = Environments(limits.environments, limits.environment_idle_s)

    async def initialize(self, request: Request, given: Answer) -> Answer:
        """A fresh environment; the seed is the dataset's default one when none is named."""
        body = bodies.InitializeBody.model_validate(given)
        self._check_name(request.path_params.get("env"))
        return await self._begin(body, run_id="")

    async def create(self, request: Request, given: Answer) -> Answer:
        """The same by `env_name`, with the run that it belongs to."""
        body = bodies.InitializeBody.model_validate(given)
        self._check_name(body.env_name)
        return await self._begin(body, run_id=str(given.get("rl_run_id") or "")[:200])

    async def reset(self, request: Request, given: Answer) -> Answer:
        """The environment from its start, or from another seed's."""
        body = bodies.EnvBody.model_validate(given)
        old = self.all.get(body.env_id)
        seed = old.opening.seed if body.seed is None else body.seed
        game = await self.served.new_game(seed, old.options)
        kept = self.all.begin(
            self.served.task,
            game,
            old.options,
            max_steps=old.score.max_steps,
            run_id=old.run_id,
            env_id=body.env_id,
        )
        answer = self._opened(kept, game)
        del answer["env_id"]
        return answer

    async def step(self, request: Request, given: Answer) -> Answer:
        """Play the calls of one action; `step_idx` counts steps of the game."""
        body = bodies.StepBody.model_validate(given)
        self._check_name(request.path_params.get("env"))
        self.all.get(body.env_id)
        actions, calls = read_actions(self.served.task, body.action, body.tool_calls)
        kept, game, turn, done = self.all.step(body.env_id, actions, calls)
        face = self.served.face
        return {
            "observation": face.observation(game, kept.score),
            "done": done,
            "info": face.step_info(game, turn.unlocked),
            "reward": kept.score.last,
            "truncated": kept.score.truncated,
            "step_idx": game.n_steps,
        }

    async def terminate(self, request: Request, given: Answer) -> Answer:
        """End an environment."""
        body = bodies.EnvBody.model_validate(given)
        self.all.end(body.env_id)
        return {"ok": True}

    async def snapshot(self, request: Request, given: Answer) -> Answer:
        """Keep the state as it is; `/restore` makes a new environment of it, again and again."""
        body = bodies.EnvBody.model_validate(given)
        snapshot_id, kept = self.all.snapshot(body.env_id)
        return {
            "snapshot_id": snapshot_id,
            "path": f"memory:{snapshot_id}",
            "rl_run_id": kept.run_id,
            "size": len(kept.state),
        }

    async def restore(self, request: Request, given: Answer) -> Answer:
        """A new environment that goes on from a snapshot."""
        body = bodies.RestoreBody.model_validate(given)
        made = self.all.restore(body.snapshot_id)
        return self._opened(made, made.game())

    async def branch(self, request: Request, given: Answer) -> Answer:
        """Copies of environments; `policy_ids` are answered without any: policies have no state."""
        body = bodies.BranchBody.model_validate(given)
        ids = [*(body.env_ids or []), *([body.env_id] if body.env_id else [])]
        found = [self.all.get(env_id) for env_id in ids]
        made = {
            one.env_id: [self.all.copy(one).env_id for _ in range(body.num_children)]
            for one in found
        }
        return {"env_branches": made, "policy_branches": {}}

    async def _begin(self, body: bodies.InitializeBody, run_id: str) -> Answer:
        served, config = self.served, body.options()
        seed = served.default_seed if body.seed is None else body.seed
        options = served.face.read_options(config)
        game = await served.new_game(seed, options)
        made = self.all.begin(
            served.task, game, options, max_steps=served.max_steps(config), run_id=run_id
        )
        return self._opened(made, game)

    def _opened(self, environment: Environment, game: Game) -> Answer:
        return {
            "env_id": environment.env_id,
            "observation": self.served.face.observation(game, environment.score),
            "info": self.served.face.step_info(game, ()),
            "step_idx": game.n_steps,
        }

    def _check_name(self, name: str | None) -> None:
        if name is not None and not self.served.plays(name):
            known = ", ".join(self.served.face.environments)
            words = f"There is no environment {name[:80]!r} here; there is: {known}."
            raise Problem(404, "unknown_environment", words)
