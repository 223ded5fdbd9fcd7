"""Where a model id leads: the server of a checkpoint, started when needed, or a provider.

A model id is a checkpoint's (`ft:…:job_…`, `synthweb/crafter-small`), an alias that the operator
set, or `PROVIDER/MODEL` for a provider of the project.
"""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from apps.accounts.errors import Refused
from apps.accounts.models import Project
from apps.checkpoints import queries as checkpoints
from apps.checkpoints import services as serving
from apps.checkpoints.models import ServerState
from apps.providers import queries as providers
from apps.providers.models import Provider, ProviderKind
from apps.providers.queries import Price
from synthweb.callers import in_thread

KEPT_S = 2.0  # how long a found address is used without asking the database again
START_S = 60.0  # how long a call waits for a server to start
LOOK_S = 0.25
MAX_KEPT = 500


class Target(NamedTuple):
    """Where to send a call. `model` is the name that the other side knows."""

    base_url: str  # with /v1
    key: str
    model: str
    provider: str  # "" for a checkpoint of ours
    price: Price | None
    max_concurrent: int


class _Starting(NamedTuple):
    """A checkpoint whose server is not ready yet."""

    checkpoint_id: int


_known: dict[tuple[int, str], tuple[float, Target]] = {}
_searches: dict[tuple[int, str], asyncio.Task[Target]] = {}


async def find_target(project_id: int, model: str) -> Target:
    """The target of a model id; waits while its server starts.

    However many calls wait for one model, the database is asked once for all of them.
    Raises Refused: 404 listing what exists, 503 when the server does not start in time.
    """
    key = (project_id, model)
    kept = _known.get(key)
    if kept and kept[0] > time.monotonic():
        return kept[1]
    search = _searches.get(key)
    if search is None:
        search = _searches[key] = asyncio.create_task(_search(project_id, model))
        search.add_done_callback(lambda _: _searches.pop(key, None))
    return await asyncio.shield(search)


async def _search(project_id: int, model: str) -> Target:
    deadline = time.monotonic() + START_S
    while True:
        found = await in_thread(lambda: _look_up(project_id, model))
        if isinstance(found, Target):
            if len(_known) > MAX_KEPT:
                _known.clear()
            _known[project_id, model] = (time.monotonic() + KEPT_S, found)
            return found
        if time.monotonic() > deadline:
            raise Refused(
                "model_starting",
                f"The server of {model} has not started within {START_S:.0f} s.",
                "Is a worker with a serve slot running? See the page of the checkpoint.",
                status=503,
            )
        await asyncio.sleep(LOOK_S)


def forget(project_id: int, model: str) -> None:
    """Look the address up afresh next time: the server was not there."""
    _known.pop((project_id, model), None)


def _look_up(project_id: int, model: str) -> Target | _Starting:
    project = Project(pk=project_id)
    wanted = providers.resolve_alias(project=project, model=model)
    checkpoint = checkpoints.find_model(project_id, wanted)
    if checkpoint is None:
        return _of_provider(project, model)
    served = serving.want_model(checkpoint)
    if served.state == ServerState.FAILED:
        raise Refused(
            "model_failed",
            f"{model} could not be loaded: {served.error}",
            "See the page of the checkpoint; it is tried again after some seconds.",
            status=503,
        )
    server = served.server
    if served.state != ServerState.READY or server is None or server.state != ServerState.READY:
        return _Starting(checkpoint.pk)
    serving.touch_models([checkpoint.pk])
    return Target(f"{server.address}/v1", serving.secret_of(server), checkpoint.uid, "", None, 256)


def _of_provider(project: Project, model: str) -> Target:
    """`PROVIDER/MODEL`. Raises Refused(404) that lists what this project has."""
    name, _, wanted = model.partition("/")
    rows = Provider.objects.filter(project=project, enabled=True, kind=ProviderKind.OPENAI)
    provider = rows.filter(name=name).first() if wanted else None
    if provider is None:
        ids = checkpoints.list_model_ids(project.pk)
        names = [f"{row.name}/…" for row in rows.order_by("name")]
        known = ", ".join([*ids[:50], *names]) or "none yet"
        raise Refused(
            "model_not_found",
            f"There is no model {model!r} here. There are: {known}.",
            "GET /api/inference/v1/models lists them.",
            status=404,
        )
    return Target(
        provider.base_url.rstrip("/"),
        providers.key_of(provider),
        wanted,
        provider.name,
        providers.price_of(provider, wanted),
        provider.max_concurrent,
    )
