"""A vLLM server that generates for a training: whose key it gets, and whether it may be called.

Lives here: `vllm.url` of a config -> `Run.inputs`. Not here: the calls themselves
(`engine/llm/vllm.py`), servers that a training starts by itself.
"""

from __future__ import annotations

from apps.accounts.errors import Refused
from apps.accounts.models import Project
from apps.launch.services.names import Found
from apps.providers.queries import provider_for_url
from apps.providers.urls import check_url
from apps.runs.keys import PROVIDER_KEY
from engine.config import Loaded, RlConfig
from engine.config.rl_plan import RlPlan


def find_generator(project: Project, plan: RlPlan) -> Found | None:
    """The server that the config names, with the key of the provider at its origin, if one is.

    Raises Refused(422) for an address that cannot be read.
    """
    url = plan.generation.url
    if not url:
        return None
    try:
        provider = provider_for_url(project=project, url=url)
    except Refused as err:
        if err.code != "unknown_origin":
            raise
        words = f"The vLLM server at {url} generates, without a key: no provider has its origin."
        return Found({"url": url}, warnings=(words,))
    named = {"provider_id": provider.pk, "provider": provider.name, "key_env": PROVIDER_KEY}
    words = f"The vLLM server at {url} generates, with the key of {provider.name}."
    return Found({"url": url, **named}, warnings=(words,))


def check_generator(loaded: Loaded) -> None:
    """Refuse a server that this instance may not call; other configs pass at once.

    Raises Refused(422). Blocks on DNS: never inside a transaction.
    """
    if isinstance(loaded.config, RlConfig) and (url := loaded.config.plan().generation.url):
        check_url(url)
