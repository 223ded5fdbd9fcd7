"""Who may open a page, and how a page is drawn: the frame around every view.

A view gets a request whose `actor` is set. `Refused`, raised anywhere below, becomes an error page
(or a fragment, for htmx) in the same words that the API and the commands use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.vary import vary_on_headers
from django_htmx.middleware import HtmxDetails

from apps.accounts.errors import Refused
from apps.accounts.models import Role, User
from apps.accounts.queries import Actor, actor_of_session
from engine.errors import EngineError

THEMES = ("auto", "light", "dark")
CHOOSE_PAGE = "/settings/password/"
BEFORE_CHANGE = (CHOOSE_PAGE, "/logout/")  # all that a one-time password opens


class PageRequest(HttpRequest):
    """A request as the views see it: logged in, with its project and role."""

    actor: Actor
    htmx: HtmxDetails


View = Callable[..., HttpResponseBase]


def page(role: Role = Role.VIEWER) -> Callable[[View], View]:
    """Open the view to members with at least `role`; strangers go to the login page."""

    def decorate(view: View) -> View:
        @wraps(view)
        @vary_on_headers("HX-Request")
        def guarded(request: PageRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not isinstance(request.user, User):
                return _to_login(request)
            if request.user.must_change_password and request.path not in BEFORE_CHANGE:
                return go(request, CHOOSE_PAGE)
            try:
                request.actor = _actor(request)
                request.actor.require(role)
                return view(request, *args, **kwargs)
            except EngineError as err:
                return refuse(request, err)

        return guarded

    return decorate


def draw(
    request: PageRequest, template: str, context: Mapping[str, Any], *, status: int = 200
) -> HttpResponse:
    """Render a page or fragment with what the frame needs."""
    actor = getattr(request, "actor", None)
    frame: dict[str, Any] = {
        "actor": actor,
        "can_edit": bool(actor and actor.may_edit),
        "can_admin": bool(actor and actor.may_admin),
        "theme": theme_of(request),
        "area": request.path.split("/")[1] or "home",
    }
    return render(request, template, {**frame, **context}, status=status)


def theme_of(request: HttpRequest) -> str:
    """The chosen colours: auto (the system's), light or dark."""
    chosen = request.COOKIES.get("theme", "auto")
    return chosen if chosen in THEMES else "auto"


def refuse(request: PageRequest, err: EngineError) -> HttpResponse:
    """Say what happened and what to do, with the status that fits."""
    status = err.status if isinstance(err, Refused) else 422
    context = {"status": status, "message": str(err), "hint": err.hint}
    if request.htmx and request.method != "GET":
        return draw(request, "_refused.html", context, status=status)
    return draw(request, "refused.html", context, status=status)


def go(request: PageRequest, address: str, said: str = "") -> HttpResponse:
    """Leave for `address` after a deed, with a sentence that the next page shows."""
    if said:
        messages.success(request, said)
    if request.htmx:
        return HttpResponse(status=204, headers={"HX-Redirect": address})
    return HttpResponseRedirect(address)


def back(request: PageRequest, fallback: str) -> str:
    """The page that a form was on (`next`), if it is one of ours."""
    wanted = request.POST.get("next", "")
    ours = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, request.is_secure())
    return wanted if ours and wanted.startswith("/") else fallback


def _actor(request: PageRequest) -> Actor:
    address = request.META.get("REMOTE_ADDR") or None
    assert isinstance(request.user, User)  # noqa: S101  (page() has checked)
    actor = actor_of_session(request.user, request.session.get("project_id"), address)
    if actor is None:
        raise Refused(
            "no_project",
            "You are not a member of any project.",
            "Ask an admin to add you to one.",
            status=403,
        )
    return actor


def _to_login(request: PageRequest) -> HttpResponse:
    if request.htmx:
        return HttpResponse(status=401, headers={"HX-Redirect": "/login/"})
    response = redirect_to_login(request.get_full_path())
    assert isinstance(response, HttpResponseRedirect)  # noqa: S101
    return response
