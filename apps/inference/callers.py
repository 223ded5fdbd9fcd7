"""Who may ask for completions: an engine with its run key, or a person's API key.

Run keys are checked without the database. API keys are looked up once in a few seconds: a revoked
key stops working within KEPT_S. A session may read the list of models, but not spend compute:
cookies need a CSRF token, which an OpenAI client does not send.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import NamedTuple

from apps.accounts.errors import Refused
from apps.accounts.models import Role
from apps.accounts.queries import Actor, actor_of_key, clear_key_of, digest_of, find_api_key
from apps.runs.keys import read_run_key
from synthweb.callers import find_actor, in_thread
from synthweb.routes import Scope

KEPT_S = 5.0
MAX_KEPT = 1000


class Caller(NamedTuple):
    """In whose name a call is made, and for which run (None: a person)."""

    project_id: int
    run_id: int | None


_known: OrderedDict[str, tuple[float, Caller | None]] = OrderedDict()


async def find_caller(scope: Scope) -> Caller:
    """The caller of a request. Raises Refused(401 | 403)."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    clear = clear_key_of(headers.get("authorization", ""), headers.get("x-api-key", ""))
    run_key = read_run_key(clear)
    if run_key is not None:
        return Caller(run_key.project_id, run_key.run_id)
    if clear:
        return await _by_key(clear)
    actor = await find_actor(scope) if scope["method"] in ("GET", "HEAD") else None
    if actor is None:
        raise _stranger()
    return Caller(actor.project.pk, None)


async def _by_key(clear: str) -> Caller:
    digest = digest_of(clear)
    kept = _known.get(digest)
    if kept is None or kept[0] < time.monotonic():
        caller = await in_thread(lambda: _look_up(clear))
        _known[digest] = (time.monotonic() + KEPT_S, caller)
        while len(_known) > MAX_KEPT:
            _known.popitem(last=False)
    else:
        caller = kept[1]
    if caller is None:
        raise _stranger()
    return caller


def _look_up(clear: str) -> Caller | None:
    """Raises Refused(403) for a key that may only read: a completion costs compute."""
    key = find_api_key(clear)
    actor: Actor | None = actor_of_key(key) if key else None
    if actor is None:
        return None
    actor.require(Role.EDITOR)
    return Caller(actor.project.pk, None)


def _stranger() -> Refused:
    return Refused(
        "unauthenticated", "No valid key.", "Send `Authorization: Bearer KEY`.", status=401
    )
