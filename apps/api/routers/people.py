"""Members of the project, one's own projects, and the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema, Status

from apps.accounts import people, queries
from apps.accounts.audit import list_audit
from apps.accounts.models import Project, Role
from apps.api.auth import actor_of
from apps.api.shapes import Listed, MemberOut, RowId
from apps.api.shown_once import ShownOnce, ShowsOnce

router = Router(tags=["people"])


class MemberIn(Schema):
    """Somebody to let in. Roles: viewer, editor, admin."""

    username: str
    role: str = "viewer"


class RoleIn(Schema):
    """The role to have from now on."""

    role: str


class InvitedOut(MemberOut, ShowsOnce):
    """A member just added; `password` is a new account's one-time one, "" for an older account."""

    password: ShownOnce


class ProjectIn(Schema):
    """A project to make; the caller becomes its first admin."""

    name: str


class ProjectOut(Schema):
    """A project that the caller may open."""

    id: int
    slug: str
    name: str
    created_at: datetime

    @classmethod
    def of(cls, row: Project) -> dict[str, Any]:
        return {name: getattr(row, name) for name in cls.model_fields}


class AuditOut(Schema):
    """One deed. `address` is null for what was done at the shell of the server."""

    id: int
    at: datetime
    user: str
    verb: str
    target: str
    detail: dict[str, Any]
    address: str | None


@router.get("/users", response=Listed[MemberOut])
def list_members(request: HttpRequest) -> dict[str, Any]:
    """The project's members and their roles."""
    actor = actor_of(request)
    actor.require(Role.ADMIN)
    rows = queries.list_members(actor.project)
    return {"items": [MemberOut.of(row) for row in rows], "next": None}


@router.post("/users", response={201: InvitedOut})
def invite_member(request: HttpRequest, body: MemberIn) -> Status[dict[str, Any]]:
    """Let somebody in; who has no account gets one, with `password` for the first login."""
    actor = actor_of(request)
    actor.require(Role.ADMIN)
    made = people.invite_member(actor=actor, **body.dict())
    member = queries.get_member(project=actor.project, member_id=made.member.pk)
    return Status(201, {**MemberOut.of(member), "password": made.password})


@router.patch("/users/{username}", response=MemberOut)
def patch_member(request: HttpRequest, username: str, body: RoleIn) -> dict[str, Any]:
    """Change a member's role; the last admin stays one."""
    actor = actor_of(request)
    actor.require(Role.ADMIN)
    member = queries.find_member(project=actor.project, username=username)
    return MemberOut.of(people.set_role(actor=actor, member=member, role=body.role))


@router.delete("/users/{username}", response={204: None})
def remove_member(request: HttpRequest, username: str) -> Status[None]:
    """Take a member out of the project and end their keys there; what they made stays."""
    actor = actor_of(request)
    actor.require(Role.ADMIN)
    member = queries.find_member(project=actor.project, username=username)
    people.remove_member(actor=actor, member=member)
    return Status(204, None)


@router.get("/projects", response=Listed[ProjectOut])
def list_projects(request: HttpRequest) -> dict[str, Any]:
    """The projects that the caller may open; a key works in the one it was made in."""
    rows = queries.projects_of(actor_of(request).user)
    return {"items": [ProjectOut.of(row) for row in rows], "next": None}


@router.post("/projects", response={201: ProjectOut})
def open_project(request: HttpRequest, body: ProjectIn) -> Status[dict[str, Any]]:
    """Make an empty project with the caller as its admin."""
    actor = actor_of(request)
    actor.require(Role.ADMIN)
    return Status(201, ProjectOut.of(people.open_project(actor=actor, name=body.name)))


@router.get("/audit", response=Listed[AuditOut])
def audit(
    request: HttpRequest,
    user: str | None = None,
    verb: str | None = None,
    target: str | None = None,
    cursor: RowId | None = None,
) -> dict[str, Any]:
    """Who did what, newest first. `verb` and `target` match from their start."""
    actor = actor_of(request)
    actor.require(Role.ADMIN)
    page = list_audit(project=actor.project, user=user, verb=verb, target=target, cursor=cursor)
    return {"items": [row._asdict() for row in page.items], "next": page.next}
