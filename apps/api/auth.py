"""Who may call the API: a key needs no CSRF token, a session cookie does."""

from __future__ import annotations

from django.http import HttpRequest
from ninja.security.base import AuthBase
from ninja.utils import check_csrf

from apps.accounts.errors import Refused
from apps.accounts.models import Role
from apps.accounts.queries import Actor, actor_of_request

_SAFE = ("GET", "HEAD", "OPTIONS")


class ActorAuth(AuthBase):
    """`request.auth` becomes the Actor, or the request ends with 401.

    Reading needs the role viewer, anything else editor; an endpoint may ask for more.
    """

    openapi_type = "http"
    openapi_scheme = "bearer"

    def __call__(self, request: HttpRequest) -> Actor | None:
        actor = actor_of_request(request)
        if actor is None:
            return None
        if actor.via == "session" and request.method not in _SAFE and check_csrf(request):
            raise Refused(
                "csrf",
                "The request has a session cookie but no CSRF token.",
                "Send X-CSRFToken, or use an API key.",
                status=403,
            )
        actor.require(Role.VIEWER if request.method in _SAFE else Role.EDITOR)
        return actor


def actor_of(request: HttpRequest) -> Actor:
    """The caller of an endpoint; ActorAuth has put it there."""
    actor = request.auth  # type: ignore[attr-defined]
    assert isinstance(actor, Actor)  # noqa: S101
    return actor
