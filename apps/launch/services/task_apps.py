"""Remote task apps: which address is one, whose record it has, where a run's games are played.

Lives here: the address in a config -> where the games are played. Not here: asking a task app
(`probing.py`), the games (`engine/rollout/remote.py`), outgoing calls (`apps/providers`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings

from apps.accounts.errors import Refused
from apps.accounts.models import Project
from apps.launch.services.names import Found, is_placeholder
from apps.providers.models import Provider, ProviderKind
from apps.providers.queries import limits_of, provider_for_url
from apps.providers.urls import origin_of, parse_url
from apps.runs.keys import RUN_KEY, TASK_APP_KEY
from engine.config import Play
from engine.llm.addresses import is_public

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def plays_here(url: str) -> bool:
    """Without a task app, with a placeholder or with our own, the games are played here."""
    return not url or is_placeholder(url) or is_own(url)


def is_own(url: str) -> bool:
    """Whether a task app's address is one of this instance."""
    bases = (f"{settings.PUBLIC_URL}/task", f"{settings.INTERNAL_URL}/task", *own_ports())
    return any(url == base or url.startswith((f"{base}/", f"{base}?")) for base in bases)


def own_ports() -> tuple[str, ...]:
    """Where our task app listens by itself."""
    return tuple(f"http://{host}:{settings.TASK_APP_PORT}" for host in ("127.0.0.1", "localhost"))


def find_task_app(project: Project, play: Play, policy: Found) -> Found | None:
    """Where the games are played, for `Run.inputs`; None: on this machine.

    It is told where the model answers, never with which key: a provider's key goes to the provider
    only, so the task app needs one of its own. Of a checkpoint of ours it gets our own address, and
    a key that ends with the run. Raises Refused(422) for what cannot be played elsewhere.
    """
    url = play.task_app_url
    if plays_here(url):
        return None
    if policy.inputs["kind"] != "openai":
        message = f"The built-in policy {play.model} plays on this machine, not in {url}."
        hint = 'Launch with --set task_app_url="", or name a model.'
        raise Refused("wrong_policy", message, hint, status=422)
    origin_of(url)
    record = task_app_of(project, url)
    ours = "checkpoint_id" in policy.inputs
    model_url = f"{settings.PUBLIC_URL}/api/inference" if ours else policy.inputs["base_url"]
    inputs = {
        **_app_inputs(url, record),
        "inference_url": model_url.rstrip("/").removesuffix("/v1"),
        **({"inference_key_env": RUN_KEY} if ours else {}),
    }
    return Found(inputs, warnings=tuple(_warnings(play, inputs, record, ours=ours)))


def find_training_app(project: Project, url: str) -> Found | None:
    """Where the games of a training are played, for `Run.inputs`; None: by the training itself.

    The task app asks the model at an address of the training's process, which only this machine
    reaches. Raises Refused(422) for a task app on another one.
    """
    if plays_here(url):
        return None
    origin_of(url)
    if parse_url(url).host not in LOOPBACK:
        raise Refused(
            "remote_task_app",
            f"The task app at {url} is on another machine: from there it cannot ask the model that "
            "is being trained here.",
            'Run it on this machine, or launch with --set services.task_url="" to play here.',
            status=422,
        )
    record = task_app_of(project, url)
    key = f"with the key of {record.name}" if record else "without a key: no record has its origin"
    words = f"The games are played by the task app at {url}, {key}."
    return Found(_app_inputs(url, record), warnings=(words,))


def _app_inputs(url: str, record: Provider | None) -> dict[str, Any]:
    """The address, and of its record what the player needs; the key itself is read much later."""
    if record is None:
        return {"url": url.rstrip("/")}
    return {
        "url": url.rstrip("/"),
        "provider_id": record.pk,
        "provider": record.name,
        "key_env": TASK_APP_KEY,
        "limits": limits_of(record),
    }


def _warnings(
    play: Play, inputs: dict[str, Any], record: Provider | None, *, ours: bool
) -> Iterator[str]:
    url, model_url = inputs["url"], inputs["inference_url"]
    key = f"with the key of {record.name}" if record else "without a key: no record has its origin"
    yield f"The games are played by the task app at {url}, {key}."
    if _is_local(model_url) and not _is_local(url):
        what = "our own models" if ours else "the model"
        hint = " Set SYNTHWEB_URL to the address that others reach." if ours else ""
        words = f"The task app has to ask {what} at {model_url}, which only this machine reaches."
        yield words + hint
    if not ours:
        yield f"The task app calls {model_url} with a key of its own; ours is not sent to it."
    if play.limits.tokens or play.limits.cost_usd:
        words = (
            "The task app knows neither limits.tokens nor limits.cost_usd: no episode is cut off"
        )
        yield f"{words} there, but none begins once those before used as much as all of them may."


def _is_local(url: str) -> bool:
    """Whether an address is one of this machine or of a private network, by its literal name."""
    host = parse_url(url).host
    try:
        return not is_public(host)
    except ValueError:
        return host == "localhost" or "." not in host or host.endswith((".local", ".internal"))


def task_app_of(project: Project, url: str) -> Provider | None:
    """The project's record of the task app at this origin, which has its key; None: no record."""
    try:
        return provider_for_url(project=project, url=url, kind=ProviderKind.TASK_APP)
    except Refused as err:
        if err.code == "unknown_origin":
            return None
        raise
