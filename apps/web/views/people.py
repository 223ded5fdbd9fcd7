"""Members of the project: who is in, with which role, and one-time passwords, shown once."""

from __future__ import annotations

from django.http import HttpResponse
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts import people
from apps.accounts.errors import not_found
from apps.accounts.models import Role
from apps.accounts.queries import get_member, list_members
from apps.web.access import PageRequest, go, page
from apps.web.reading import text_of
from apps.web.views.settings import draw_section

HERE = "/settings/users/"


@require_http_methods(["GET", "HEAD", "POST"])
@page()
def users(request: PageRequest) -> HttpResponse:
    """POST lets somebody in; the one-time password of a new account stands in the answer only."""
    if request.method != "POST":
        return _draw(request)
    role = text_of(request.POST, "role") or Role.VIEWER
    username = text_of(request.POST, "username") or ""
    made = people.invite_member(actor=request.actor, username=username, role=role)
    if made.password:
        return _draw(request, username=made.member.user.username, password=made.password)
    return go(request, HERE, f"{made.member.user.username} is {made.member.role} here now.")


@require_POST
@page(Role.ADMIN)
def act(request: PageRequest, member_id: int, verb: str) -> HttpResponse:
    member = get_member(project=request.actor.project, member_id=member_id)
    name = member.user.username
    if verb == "role":
        role = text_of(request.POST, "role") or ""
        people.set_role(actor=request.actor, member=member, role=role)
        return go(request, HERE, f"{name} is {member.role} now.")
    if verb == "remove":
        people.remove_member(actor=request.actor, member=member)
        return go(request, HERE, f"{name} is out; what {name} made stays.")
    if verb == "password":
        clear = people.reset_password(actor=request.actor, member=member)
        return _draw(request, username=name, password=clear)
    raise not_found("verb", verb)


def _draw(request: PageRequest, **extra: object) -> HttpResponse:
    context = {"members": list_members(request.actor.project), "roles": Role.choices, **extra}
    return draw_section(request, "users", context)
