"""Who answers in a rollout: the model API that the request names, or a script of the task.

Lives here: `policy.config` -> a policy, with the rules of outgoing calls. An operator's key goes to
the origin that the operator named beside it; the caller's own `api_key` to whatever the caller
names; an address that leads inside is refused unless it is listed.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from typing import NamedTuple

from engine.errors import ConfigError
from engine.http.bodies import PolicyConfig
from engine.http.problems import Problem
from engine.http.settings import HttpSettings
from engine.llm.addresses import parse_url, resolve_host
from engine.llm.budget import RetryBudget
from engine.llm.client import ChatClient, ClientOptions
from engine.llm.types import Policy, Sampling
from engine.rollout.policies import SCRIPTED, ScriptedPolicy
from engine.tasks.base import Task

RETRIES = 20  # of one rollout
BUILTIN = "builtin"


class Chosen(NamedTuple):
    """A policy and how traces name it. url: as it was asked for, "" for a script."""

    policy: Policy
    model: str
    provider: str
    url: str


async def choose_policy(
    config: PolicyConfig,
    task: Task,
    settings: HttpSettings,
    makers: Executor,
    *,
    token_ids: bool = False,
) -> Chosen:
    """The policy that a request names. Raises Problem(422) with what is wrong with it."""
    if config.provider == BUILTIN:
        if config.model not in SCRIPTED or config.model not in task.scripted:
            known = ", ".join(task.scripted)
            words = f"There is no built-in policy {config.model!r}; there is: {known}."
            raise Problem(422, "unknown_policy", words)
        return Chosen(ScriptedPolicy(config.model, task.scripted[config.model]), "", BUILTIN, "")
    if not config.model:
        raise Problem(422, "no_model", "policy.config.model is missing: which model plays?")
    url = base_url(config, settings)
    parts = parse_url(url)
    key, owner = settings.key_for(parts.origin)
    loop = asyncio.get_running_loop()
    address = await loop.run_in_executor(makers, _resolve, parts.host, parts.port, settings)
    options = ClientOptions(address=address, token_ids=token_ids, max_concurrent=1)
    try:
        client = ChatClient(
            url,
            config.model,
            key=config.api_key or key,
            options=options,
            budget=RetryBudget(RETRIES),
        )
    except ConfigError as err:
        raise Problem(422, err.code, err.message, err.hint) from err
    return Chosen(client, config.model, owner or "custom", config.inference_url or url)


def base_url(config: PolicyConfig, settings: HttpSettings) -> str:
    """Where /chat/completions lies. `inference_url` is named without /v1, or in full.

    Raises Problem(422).
    """
    url = config.inference_url.strip()
    if not url:
        upstream = settings.upstream(config.provider)
        if upstream is None:
            raise Problem(
                422,
                "no_inference_url",
                "policy.config.inference_url is missing: which model API is asked?",
                "Name its base URL without /v1.",
            )
        return upstream.base_url
    if "?" in url or "#" in url:
        words = "inference_url has a query or a fragment; name the base URL alone."
        raise Problem(422, "bad_url", words)
    url = url.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return url if url.rpartition("/")[2] in ("v1", "v2", "v1beta") else f"{url}/v1"


def sampling_of(config: PolicyConfig) -> Sampling:
    """How the model samples; what it thinks goes along under the names that clients use."""
    thinking = {"thinking_mode": config.thinking_mode, "thinking_budget": config.thinking_budget}
    return Sampling(
        config.temperature,
        config.top_p,
        config.max_completion_tokens or config.max_tokens,
        extra={name: value for name, value in thinking.items() if value is not None},
    )


def _resolve(host: str, port: int, settings: HttpSettings) -> str:
    return resolve_host(host, port, listed=settings.listed(), setting="SYNTHWEB_ALLOW_HOSTS")
