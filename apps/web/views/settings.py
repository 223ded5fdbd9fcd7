"""Settings, a section an address: account, password, keys, aliases, project, storage, workers.

Providers are in `providers.py`, members in `people.py`, the audit log in `audit.py`. Keys are shown
once, provider keys never.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.contrib.auth import update_session_auth_hash
from django.http import HttpResponse
from django.utils.timezone import now
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts import people
from apps.accounts import services as accounts
from apps.accounts.errors import Refused, not_found
from apps.accounts.models import ApiKey, Role
from apps.accounts.queries import SCOPES, list_keys, projects_of
from apps.inference.queries import usage_by_model
from apps.launch.services.starters import STAND_IN, offered_aliases
from apps.providers import queries as providers
from apps.providers import services
from apps.runs.queries import list_held, list_workers
from apps.runs.queries.disk import list_biggest, measure_disk
from apps.web.access import PageRequest, draw, go, page
from apps.web.reading import text_of, whole_of

SECTIONS = {
    "": "Account", "keys": "API keys", "providers": "Providers", "aliases": "Aliases",
    "users": "Users", "projects": "Projects", "storage": "Storage", "workers": "Workers",
    "webhooks": "Webhooks",    "audit": "Audit",
}  # fmt: skip
ADMIN_SECTIONS = ("webhooks", "audit")


def draw_section(
    request: PageRequest, section: str, context: Mapping[str, Any], *, status: int = 200
) -> HttpResponse:
    """A page of settings with the tabs of all sections that the caller may open."""
    hidden = () if request.actor.may_admin else ADMIN_SECTIONS
    sections = {name: words for name, words in SECTIONS.items() if name not in hidden}
    if request.actor.user.must_change_password:
        sections = {}  # none of them opens before that is done
    frame = {"sections": sections, "section": section}
    template = f"settings/{section or 'account'}.html"
    return draw(request, template, {**frame, **context}, status=status)


@require_safe
@page()
def account(request: PageRequest) -> HttpResponse:
    return draw_section(request, "", {})


@require_http_methods(["GET", "HEAD", "POST"])
@page()
def password(request: PageRequest) -> HttpResponse:
    """One's own password: this browser stays logged in, every other one is logged out."""
    error: Refused | None = None
    if request.method == "POST":
        data, new = request.POST, request.POST.get("new", "")
        try:
            if new != data.get("again", ""):
                why = "The two new passwords differ."
                raise Refused("bad_password", why, status=422, fields={"again": why})
            people.change_password(actor=request.actor, old=data.get("old", ""), new=new)
        except Refused as err:
            error = err
        else:
            update_session_auth_hash(request, request.actor.user)
            return go(request, "/settings/", "Your password is changed.")
    return draw_section(request, "password", {"error": error}, status=422 if error else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@page()
def keys(request: PageRequest) -> HttpResponse:
    """POST makes a key and shows it once, in the answer itself: it is stored nowhere in clear."""
    if request.method != "POST":
        return _draw_keys(request)
    request.actor.require(Role.EDITOR)
    scopes = [word for word in request.POST.getlist("scopes") if word in SCOPES] or ["read"]
    if "admin" in scopes:
        request.actor.require(Role.ADMIN)
    days = whole_of(request.POST, "days")
    made = accounts.create_api_key(
        project=request.actor.project,
        user=request.actor.user,
        actor=request.actor,
        name=text_of(request.POST, "name") or "key",
        scopes=scopes,
        expires_at=now() + timedelta(days=min(days, 3650)) if days and days > 0 else None,
    )
    return _draw_keys(request, clear=made.clear)


def _draw_keys(request: PageRequest, **extra: object) -> HttpResponse:
    found = list_keys(request.actor.project)
    context = {"keys": found, "all_scopes": SCOPES, "now": now(), **extra}
    return draw_section(request, "keys", context)


@require_POST
@page(Role.EDITOR)
def revoke_key(request: PageRequest, key_id: int) -> HttpResponse:
    key = ApiKey.objects.filter(project=request.actor.project, pk=key_id).first()
    if key is None:
        raise not_found("key", key_id)
    if key.user_id != request.actor.user.pk:
        request.actor.require(Role.ADMIN)
    accounts.revoke_api_key(actor=request.actor, key=key)
    return go(request, "/settings/keys/", f"The key {key.name} is revoked.")


@require_http_methods(["GET", "HEAD", "POST"])
@page()
def aliases(request: PageRequest) -> HttpResponse:
    """POST sets or ends an alias, or those of several models at once."""
    project = request.actor.project
    if request.method != "POST":
        context = {
            "aliases": providers.list_aliases(project=project),
            "offered": offered_aliases(project),
            "stand_in": STAND_IN,
        }
        return draw_section(request, "aliases", context)
    request.actor.require(Role.ADMIN)
    resolved = text_of(request.POST, "resolved") or ""
    for requested in request.POST.getlist("requested")[:20] or [""]:
        name = requested.replace("\0", "")
        services.set_alias(actor=request.actor, requested=name, resolved=resolved)
    return go(request, "/settings/aliases/", "The alias is set." if resolved else "It is removed.")


@require_http_methods(["GET", "HEAD", "POST"])
@page()
def projects(request: PageRequest) -> HttpResponse:
    """POST makes a project and goes there."""
    if request.method != "POST":
        return draw_section(request, "projects", {"mine": projects_of(request.actor.user)})
    made = people.open_project(actor=request.actor, name=text_of(request.POST, "name") or "")
    request.session["project_id"] = made.pk
    return go(request, "/", f"This is {made.name}. It is empty, and you are its admin.")


@require_POST
@page()
def switch(request: PageRequest) -> HttpResponse:
    """Look at another project of one's own; other tabs follow with their next page."""
    wanted = whole_of(request.POST, "project")
    project = projects_of(request.actor.user).filter(pk=wanted).first() if wanted else None
    if project is None:
        raise not_found("project", wanted or "")
    request.session["project_id"] = project.pk
    return go(request, "/", f"You are in {project.name} now.")


@require_safe
@page()
def storage(request: PageRequest) -> HttpResponse:
    disk = measure_disk()
    biggest = list_biggest(project=request.actor.project, disk=disk)
    return draw_section(request, "storage", {"disk": disk, "biggest": biggest})


@require_safe
@page()
def workers(request: PageRequest) -> HttpResponse:
    project = request.actor.project
    context = {
        "workers": list_workers(),
        "held": list_held(project=project),
        "usage": usage_by_model(project=project),
    }
    return draw_section(request, "workers", context)
