"""Reads of users, projects and keys, and the one place that says who may do what."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Literal, NamedTuple

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.timezone import now

from apps.accounts.errors import Refused, not_found
from apps.accounts.models import ApiKey, Membership, Project, Role, User

SCOPES = ("read", "write", "admin")
_RANK = {Role.VIEWER: 0, Role.EDITOR: 1, Role.ADMIN: 2}
_SCOPE_OF_ROLE = {Role.VIEWER: "read", Role.EDITOR: "write", Role.ADMIN: "admin"}
_KEY_PREFIX = "sk_sw_"
SWITCHABLE = 50  # projects that a page offers to switch to


class Actor(NamedTuple):
    """Who asks, in which project, and how far they may go."""

    user: User
    project: Project
    role: Role
    scopes: tuple[str, ...]  # what the key allows; all of them for a session
    via: Literal["session", "key", "command"]
    address: str | None = None
    projects: tuple[Project, ...] = ()  # of a session: those to switch between, at most 50

    def may(self, role: Role) -> bool:
        """Whether both the role in the project and the key's scopes reach `role`."""
        return _RANK[self.role] >= _RANK[role] and _SCOPE_OF_ROLE[role] in self.scopes

    @property
    def may_edit(self) -> bool:
        return self.may(Role.EDITOR)

    @property
    def may_admin(self) -> bool:
        return self.may(Role.ADMIN)

    def require(self, role: Role) -> None:
        """Raise Refused(403) unless the actor reaches `role`."""
        if not self.may(role):
            raise Refused(
                "forbidden",
                f"This needs the role {role.value} in {self.project.name}; you have "
                f"{self.role.value}"
                + (f" and a key for {', '.join(self.scopes)}." if self.via == "key" else "."),
                "Ask an admin of the project, or use a key with the scope "
                f"{_SCOPE_OF_ROLE[role]!r}.",
                status=403,
            )


def digest_of(clear: str) -> str:
    """SHA-256 of an API key, hex. Keys carry 256 random bits, so a fast hash is enough."""
    return hashlib.sha256(clear.encode()).hexdigest()


def find_api_key(clear: str) -> ApiKey | None:
    """The live key with this clear text; None when unknown, expired, revoked or its user is off.

    Looked up by digest, so timing tells nothing. Notes the use at most once a minute.
    """
    if not clear.startswith(_KEY_PREFIX):
        return None
    moment = now()
    key = (
        ApiKey.objects.select_related("user", "project")
        .filter(digest=digest_of(clear), revoked_at=None, user__is_active=True)
        .filter(Q(expires_at=None) | Q(expires_at__gt=moment))
        .first()
    )
    if key and (key.last_used_at is None or moment - key.last_used_at > timedelta(minutes=1)):
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=moment)
    return key


def role_in(user: User, project: Project) -> Role | None:
    """The user's role; None for a stranger. The operator is admin everywhere."""
    if user.is_superuser:
        return Role.ADMIN
    row = Membership.objects.filter(user=user, project=project).values_list("role").first()
    return Role(row[0]) if row else None


def projects_of(user: User) -> QuerySet[Project]:
    """The projects that the user may open, oldest first."""
    projects = Project.objects.order_by("id")
    return projects if user.is_superuser else projects.filter(membership__user=user)


def list_keys(project: Project) -> list[ApiKey]:
    """All keys of a project, newest first, with their users; never their clear text."""
    return list(ApiKey.objects.filter(project=project).select_related("user").order_by("-id"))


def list_members(project: Project) -> list[Membership]:
    """Members of a project with their roles, by name."""
    rows = Membership.objects.filter(project=project).select_related("user")
    return list(rows.order_by("user__username"))


def get_member(*, project: Project, member_id: int) -> Membership:
    """A membership of the project. Raises Refused(404)."""
    row = Membership.objects.filter(project=project, pk=member_id).select_related("user").first()
    if row is None:
        raise not_found("member", member_id)
    return row


def find_member(*, project: Project, username: str) -> Membership:
    """The membership of a user by name. Raises Refused(404)."""
    rows = Membership.objects.filter(project=project, user__username=username)
    row = rows.select_related("user").first()
    if row is None:
        raise not_found("member", username)
    return row


def actor_of_key(key: ApiKey, address: str | None = None) -> Actor | None:
    """The actor behind a live key; None when its user left the project."""
    role = role_in(key.user, key.project)
    if role is None:
        return None
    return Actor(key.user, key.project, role, tuple(key.scopes), "key", address)


def actor_of_session(
    user: User, project_id: int | None, address: str | None = None
) -> Actor | None:
    """The actor of a logged-in user in the chosen project, or in the first of theirs."""
    projects = tuple(projects_of(user)[:SWITCHABLE])
    project = next((row for row in projects if row.pk == project_id), None)
    if project is None and project_id and len(projects) == SWITCHABLE:
        project = projects_of(user).filter(pk=project_id).first()
    project = project or next(iter(projects), None)
    role = role_in(user, project) if project else None
    if project is None or role is None:
        return None
    return Actor(user, project, role, SCOPES, "session", address, projects)


def clear_key_of(authorization: str, x_api_key: str) -> str:
    """The key that a request carries: `Authorization: Bearer …` or `X-API-Key`; "" for none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else x_api_key.strip()


def actor_of_request(request: HttpRequest) -> Actor | None:
    """Who makes this request, by key if it carries one (a bad one is nobody), else by session."""
    address = request.META.get("REMOTE_ADDR") or None
    clear = clear_key_of(
        request.headers.get("Authorization", ""), request.headers.get("X-API-Key", "")
    )
    if clear:
        key = find_api_key(clear)
        return actor_of_key(key, address) if key else None
    user = getattr(request, "user", None)
    if not isinstance(user, User) or not user.is_active or user.must_change_password:
        return None
    return actor_of_session(user, request.session.get("project_id"), address)


def command_actor(project: Project | None = None) -> Actor:
    """The operator at the shell: the first superuser, in the given or the first project.

    Raises Refused when the instance has not been set up.
    """
    user = User.objects.filter(is_superuser=True, is_active=True).order_by("id").first()
    project = project or Project.objects.order_by("id").first()
    if user is None or project is None:
        raise Refused(
            "not_set_up", "This instance has no user or project yet.", "Run `make up` once."
        )
    return Actor(user, project, Role.ADMIN, SCOPES, "command")
