"""What a task app says of itself: `/`, `/health`, `/info`, `/task_info`, `/done`, `/debug/env`."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request

from engine.http.problems import Problem
from engine.http.served import VERSION, Served

_MOST_SEEDS = 100
_KEYS = ("openai", "groq", "synth")


class InfoRoutes:
    """The calls, for one task."""

    def __init__(self, served: Served) -> None:
        self.served = served

    async def root(self, request: Request, given: dict[str, Any]) -> dict[str, Any]:
        return {"status": "ok", "service": self.served.face.service}

    async def health(self, request: Request, given: dict[str, Any]) -> dict[str, Any]:
        return {"healthy": True, "auth": {"required": True}}

    async def done(self, request: Request, given: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "service": self.served.face.service}

    async def debug_env(self, request: Request, given: dict[str, Any]) -> dict[str, Any]:
        """Which keys are set, never what they are."""
        settings = self.served.settings
        upstreams = {name: settings.upstream(name) for name in _KEYS}
        return {
            "service": self.served.face.service,
            "environment_api_key": bool(settings.keys),
            "n_keys": len(settings.keys),
            "upstreams": {
                name: {"base_url": one.base_url if one else None, "key": bool(one and one.key)}
                for name, one in upstreams.items()
            },
            "traces": settings.trace_db is not None,
        }

    async def info(self, request: Request, given: dict[str, Any]) -> dict[str, Any]:
        """What it is and what it can, for run_eval.py and people."""
        about = self.served.about
        return {
            "service": {"task": about["task"], "version": VERSION},
            "dataset": about["dataset"],
            "rubrics": about["rubrics"],
            "inference": {**self._inference(), "base_url": _own_url(request)},
            "capabilities": self._capabilities(),
            "limits": self._limits(),
        }

    async def task_info(self, request: Request, given: dict[str, Any]) -> Any:
        """Without a seed the task in general, with one its world, with more a list of worlds."""
        seeds = _read_seeds(request)
        if not seeds:
            dataset = self.served.about["dataset"]
            return {"taskset": dataset, **self._info({}, {})}
        infos = []
        for seed in seeds:
            game = await self.served.new_game(seed, self.served.face.read_options({}))
            facts = self.served.face.facts(game)
            infos.append(self._info(facts["observation"], facts["dataset"]))
        return infos[0] if len(infos) == 1 else infos

    def _info(self, observation: dict[str, Any], dataset: dict[str, Any]) -> dict[str, Any]:
        """TaskInfo as both versions of the client read it."""
        about, face = self.served.about, self.served.face
        outcome = about["rubrics"]["outcome"]
        return {
            "task": about["task"],
            "environments": list(face.environments),
            "environment": face.environments[0],
            "action_space": about["action_space"],
            "observation": observation,
            "dataset": {**about["dataset"], **dataset},
            "rubric": {
                "version": outcome.get("version", "1"),
                "criteria_count": len(outcome["criteria"]),
                "source": "inline",
                "aggregation": outcome.get("aggregation", "weighted_sum"),
            },
            "inference": self._inference(),
            "capabilities": self._capabilities(),
            "limits": self._limits(),
            "task_metadata": {
                "rubric": {
                    "outcome": {"name": outcome["name"], "criteria": outcome["criteria"]},
                }
            },
        }

    def _inference(self) -> dict[str, Any]:
        return {
            "supports_proxy": True,
            "endpoints": {
                "openai": "/proxy/v1/chat/completions",
                "groq": "/proxy/groq/v1/chat/completions",
            },
            "tool": {
                "name": self.served.task.tools[0]["function"]["name"],
                "parallel_tool_calls": False,
            },
        }

    def _capabilities(self) -> dict[str, Any]:
        return {
            "supports_rollout": True,
            "supports_env_lifecycle": True,
            "requires_api_key_header": True,
        }

    def _limits(self) -> dict[str, Any]:
        limits = self.served.settings.limits
        return {"max_ops": limits.ops, "max_time_s": int(limits.seconds)}


def _own_url(request: Request) -> str:
    """Our OpenAI proxy as the caller reaches us, in front of /v1."""
    here = str(request.url).partition("?")[0].removesuffix("/info")
    return f"{here}/proxy"


def _read_seeds(request: Request) -> list[int]:
    """The seeds of the query, `?seed=3&seed=4`. Raises Problem(422)."""
    given = request.query_params.getlist("seed") + request.query_params.getlist("seeds")
    texts = [part.strip() for text in given for part in text.split(",") if part.strip()]
    if len(texts) > _MOST_SEEDS:
        words = f"{len(texts)} seeds; ask for at most {_MOST_SEEDS} at once."
        raise Problem(422, "too_many_seeds", words)
    for text in texts:
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise Problem(422, "bad_seed", f"seed {text[:40]!r} is no whole number.")
    return [int(text) for text in texts]
