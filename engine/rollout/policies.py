"""Who plays: a script of the task, or a model behind an OpenAI-compatible API.

Lives here: making a policy from a run's inputs. Not here: the scripts themselves (`Task.scripted`),
the chat client (`engine/llm/client.py`). All go through the same player and the same parser.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from engine.errors import ConfigError
from engine.llm.budget import RetryBudget
from engine.llm.client import ChatClient, ClientOptions
from engine.llm.replies import Prices
from engine.llm.types import ChatRequest, Policy, Reply, ToolCall
from engine.tasks.base import Task

SCRIPTED = ("random", "guide")

# A restart of the web takes seconds, a lost model server is replaced within its lease of 30 s.
OWN_PATIENCE_S = 180.0


class ScriptedPolicy:
    """A function of what the model would see: `script(messages, turn_key)` gives the next call."""

    def __init__(self, name: str, script: Callable[..., Any]) -> None:
        self.name = name
        self._script = script

    async def reply(self, request: ChatRequest) -> Reply:
        """The script's call, as a model would make it; other episodes get their turn first."""
        await asyncio.sleep(0)
        name, arguments = self._script(request.messages, request.turn_key)
        call = ToolCall(f"call_{request.turn_key[2]}", name, json.dumps(arguments))
        return Reply("", (call,), "tool_calls", "")

    async def close(self) -> None:
        """Nothing to close."""


def make_policy(
    spec: Mapping[str, Any],
    task: Task,
    *,
    environment: Mapping[str, str],
    budget: RetryBudget,
    concurrency: int,
) -> Policy:
    """The policy that a run's inputs name.

    spec: {"kind": "random" | "guide"} or {"kind": "openai", "base_url", "model", "key_env",
    "limits": {"max_concurrent", "rps", "timeout_s", "max_tries"}, "prices": {"prompt_usd",
    "completion_usd"}, "address", "checkpoint_id"}; the key is read from `environment` under the
    name `key_env`. Raises ConfigError when a policy, an address or a key is missing.
    """
    kind = spec.get("kind", "")
    if kind in SCRIPTED:
        if kind not in task.scripted:
            raise ConfigError(f"The task {task.name} has no scripted policy {kind!r}.")
        return ScriptedPolicy(kind, task.scripted[kind])
    if kind != "openai":
        raise ConfigError(f"There is no policy kind {kind!r}; known: random, guide, openai.")
    for name in ("base_url", "model"):
        if not spec.get(name):
            raise ConfigError(f"The run's policy has no {name}.", hint="Launch the run again.")
    return ChatClient(
        spec["base_url"],
        spec["model"],
        key=_key(spec, environment),
        options=_options(spec, concurrency),
        budget=budget,
    )


def _key(spec: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    name = spec.get("key_env") or ""
    if name and name not in environment:
        raise ConfigError(
            f"The key of {spec.get('name') or spec['base_url']} is missing: {name} is not set.",
            hint=f"Give the provider a key in Settings, or set {name} when you run this by hand.",
        )
    return environment.get(name, "")


def _options(spec: Mapping[str, Any], concurrency: int) -> ClientOptions:
    """Limits of the provider; never more calls in flight than episodes."""
    limits = {key: value for key, value in (spec.get("limits") or {}).items() if value}
    prices = {key: float(value or 0) for key, value in (spec.get("prices") or {}).items()}
    ours = bool(spec.get("checkpoint_id"))
    return ClientOptions(
        max_concurrent=max(1, min(concurrency, int(limits.get("max_concurrent", concurrency)))),
        rps=float(limits.get("rps", 0.0)),
        timeout_s=float(limits.get("timeout_s", ClientOptions().timeout_s)),
        max_tries=int(limits.get("max_tries", ClientOptions().max_tries)),
        prices=Prices(prices.get("prompt_usd", 0.0), prices.get("completion_usd", 0.0)),
        patience_s=OWN_PATIENCE_S if ours else 0.0,
        token_ids=ours,
        seeded=ours,
        address=str(spec.get("address") or ""),
    )
