"""All writes of users, projects, keys and the audit log."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.timezone import now

from apps.accounts.errors import Refused
from apps.accounts.models import ApiKey, AuditEntry, Membership, Project, Role, User
from apps.accounts.queries import SCOPES, Actor, digest_of

MAX_NAME = 200  # of keys and projects


class NewKey(NamedTuple):
    """A key just made; `clear` is shown once and stored nowhere."""

    key: ApiKey
    clear: str


def create_user(*, username: str, password: str, email: str = "", superuser: bool = False) -> User:
    """Make a user; an operator, who begins with the tour, as a superuser.

    Raises Refused when the name is taken or the password too weak.
    """
    user = User(
        username=username, email=email, is_superuser=superuser, is_staff=superuser,
        tour_open=superuser,
    )  # fmt: skip
    try:
        validate_password(password, user)
    except ValidationError as err:
        raise Refused(
            "weak_password",
            " ".join(err.messages),
            status=422,
            fields={"password": err.messages[0]},
        ) from err
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError as err:
        raise Refused(
            "name_taken",
            f"There is already a user {username}.",
            status=409,
            fields={"username": "already taken"},
        ) from err
    return user


def close_tour(*, user: User) -> None:
    """Never show this user the tour again. Safe to call twice."""
    User.objects.filter(pk=user.pk).update(tour_open=False)


@transaction.atomic
def create_project(*, slug: str, name: str, owner: User) -> Project:
    """Make a project with its first admin. Raises Refused when the slug is taken."""
    try:
        with transaction.atomic():
            project = Project.objects.create(slug=slug, name=name)
    except IntegrityError as err:
        raise Refused("slug_taken", f"There is already a project {slug}.", status=409) from err
    set_member(project=project, user=owner, role=Role.ADMIN)
    return project


def set_member(*, project: Project, user: User, role: Role) -> Membership:
    """Give a user a role in a project. Safe to call twice: the last role wins."""
    member, _ = Membership.objects.update_or_create(
        project=project, user=user, defaults={"role": role}
    )
    return member


@transaction.atomic
def create_api_key(
    *,
    project: Project,
    user: User,
    name: str,
    scopes: Iterable[str],
    expires_at: datetime | None = None,
    actor: Actor | None = None,
) -> NewKey:
    """Make a key. Its clear text is in the result and nowhere else.

    Raises Refused(422) for an unknown scope, an expiry in the past or a name that cannot be kept.
    """
    if not 1 <= len(name) <= MAX_NAME or "\0" in name:
        message = f"A key's name has 1 to {MAX_NAME} characters and no NUL."
        raise Refused("bad_name", message, status=422, fields={"name": message})
    wanted = list(dict.fromkeys(scopes))
    if not wanted or not set(wanted) <= set(SCOPES):
        raise Refused(
            "bad_scopes",
            f"Scopes are {', '.join(SCOPES)}; got {wanted or 'none'}.",
            status=422,
            fields={"scopes": "choose at least one"},
        )
    if expires_at is not None and expires_at <= now():
        raise Refused("bad_expiry", "The key would already be expired.", status=422)
    clear = f"sk_sw_{secrets.token_urlsafe(32)}"
    key = ApiKey.objects.create(
        project=project,
        user=user,
        name=name,
        scopes=wanted,
        expires_at=expires_at,
        prefix=clear[:12],
        digest=digest_of(clear),
    )
    if actor is not None:
        record(actor=actor, verb="key.created", target=f"key:{key.pk}", detail={"scopes": wanted})
    return NewKey(key, clear)


def adopt_api_key(*, project: Project, user: User, name: str, clear: str) -> ApiKey:
    """Register a key that setup wrote into the credentials file. Safe to call twice."""
    key, _ = ApiKey.objects.get_or_create(
        digest=digest_of(clear),
        defaults={
            "project": project,
            "user": user,
            "name": name,
            "scopes": list(SCOPES),
            "prefix": clear[:12],
        },
    )
    return key


@transaction.atomic
def revoke_api_key(*, key: ApiKey, actor: Actor) -> None:
    """Turn a key off for good. Safe to call twice: the first moment stays."""
    if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now()):
        record(actor=actor, verb="key.revoked", target=f"key:{key.pk}")


def record(*, actor: Actor, verb: str, target: str, detail: dict[str, Any] | None = None) -> None:
    """Write one line of the audit log, in the transaction of the deed. No secret in `detail`."""
    AuditEntry.objects.create(
        project=actor.project,
        actor=actor.user,
        verb=verb,
        target=target,
        detail=detail or {},
        address=actor.address,
    )
