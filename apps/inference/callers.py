"""Who may ask for completions: an engine with its run key, or a person's API key.

Run keys are checked without the database. API keys are looked up once in a few seconds: a revoked
key stops working within KEPT_S. A session may read the list of models; for a completion, which
spends compute, it must be an editor's and send the CSRF token of our pages, as their chat does.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware

from apps.accounts.errors import Refused
from apps.accounts.models import Role
from apps.accounts.queries import (
    Actor,
    actor_of_key,
    actor_of_request,
    clear_key_of,
    digest_of,
    find_api_key,
)
from apps.runs.keys import read_run_key
from synthweb.callers import django_request, in_thread
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
    return await in_thread(lambda: _by_session(scope))


def _by_session(scope: Scope) -> Caller:
    """Raises Refused: 401 for a stranger, 403 without the token or for one who may only read."""
    request = django_request(scope)
    actor = actor_of_request(request)
    if actor is None:
        raise _stranger()
    if scope["method"] not in ("GET", "HEAD"):
        if not _has_token(request):
            raise Refused("csrf", "The CSRF token is missing.", "Reload the page.", status=403)
        actor.require(Role.EDITOR)
    return Caller(actor.project.pk, None)


def _has_token(request: HttpRequest) -> bool:
    """Whether one of our pages sent this (header X-CSRFToken), by Django's own check."""
    check = CsrfViewMiddleware(lambda _: HttpResponse())
    check.process_request(request)
    return check.process_view(request, lambda _: HttpResponse(), (), {}) is None


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
