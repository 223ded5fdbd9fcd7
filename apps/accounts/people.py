"""Writes about people: members of a project and their roles, one-time passwords, one's own.

Not here: making users and projects for set-up (`services.py`), keys (`services.py`).
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.text import slugify
from django.utils.timezone import now

from apps.accounts.errors import Refused
from apps.accounts.models import ApiKey, Membership, Project, Role, User
from apps.accounts.queries import Actor
from apps.accounts.services import MAX_NAME, create_project, create_user, record, set_member


class Invited(NamedTuple):
    """A member just added; `password` is shown once, "" for somebody who had an account."""

    member: Membership
    password: str


@transaction.atomic
def invite_member(*, actor: Actor, username: str, role: str) -> Invited:
    """Let somebody into the project; who has no account gets one with a one-time password.

    Safe twice: the second call finds the account and sets the role, without a password.
    Raises Refused(422) for a name or role that is none.
    """
    actor.require(Role.ADMIN)
    wanted, username = _role(role), username.strip()
    user = User.objects.filter(username=username).first()
    member = Membership.objects.filter(project=actor.project, user=user).first() if user else None
    if member is not None:
        return Invited(set_role(actor=actor, member=member, role=wanted), "")
    password = ""
    if user is None:
        password = secrets.token_urlsafe(12)
        user = create_user(username=_username(username), password=password)
        User.objects.filter(pk=user.pk).update(must_change_password=True)
    made = set_member(project=actor.project, user=user, role=wanted)
    detail = {"role": wanted.value, "new_account": bool(password)}
    record(actor=actor, verb="member.added", target=f"user:{username}", detail=detail)
    return Invited(made, password)


@transaction.atomic
def set_role(*, actor: Actor, member: Membership, role: str) -> Membership:
    """Change a member's role. Safe twice. Raises Refused(409) for the last admin."""
    actor.require(Role.ADMIN)
    wanted = _role(role)
    if wanted != Role.ADMIN:
        _keep_an_admin(member)
    changed = Membership.objects.filter(pk=member.pk).exclude(role=wanted).update(role=wanted)
    if changed:
        target, detail = f"user:{member.user.username}", {"was": member.role, "role": wanted.value}
        record(actor=actor, verb="member.role", target=target, detail=detail)
    member.role = wanted
    return member


@transaction.atomic
def remove_member(*, actor: Actor, member: Membership) -> None:
    """Take somebody out of the project and end their keys there; what they made stays.

    Safe twice. Raises Refused(409) for the last admin.
    """
    actor.require(Role.ADMIN)
    _keep_an_admin(member)
    n_rows, _ = Membership.objects.filter(pk=member.pk).delete()
    keys = ApiKey.objects.filter(project=member.project, user=member.user, revoked_at=None)
    keys.update(revoked_at=now())
    if n_rows:
        record(actor=actor, verb="member.removed", target=f"user:{member.user.username}")


@transaction.atomic
def reset_password(*, actor: Actor, member: Membership) -> str:
    """A new one-time password, shown once; the old one and every session of it end.

    For operators only: an admin of one project is not to become somebody of another.
    """
    if not actor.user.is_superuser or not actor.may_admin:
        message = "Only an operator of this server gives somebody a new password."
        raise Refused("forbidden", message, "Ask the one who runs it.", status=403)
    password, user = secrets.token_urlsafe(12), member.user
    user.set_password(password)
    user.must_change_password = True
    user.save(update_fields=["password", "must_change_password"])
    record(actor=actor, verb="password.reset", target=f"user:{user.username}")
    return password


@transaction.atomic
def change_password(*, actor: Actor, old: str, new: str) -> None:
    """Choose one's own password; the other sessions of it end.

    Raises Refused(422): the old one is wrong, the new one weak or the same.
    """
    user = actor.user
    if not user.check_password(old):
        raise _bad_password("old", "The present password is another one.")
    if old == new:
        raise _bad_password("new", "The new password is the old one.")
    try:
        validate_password(new, user)
    except ValidationError as err:
        raise _bad_password("new", " ".join(err.messages)) from err
    user.set_password(new)
    user.must_change_password = False
    user.save(update_fields=["password", "must_change_password"])
    record(actor=actor, verb="password.changed", target=f"user:{user.username}")


@transaction.atomic
def open_project(*, actor: Actor, name: str) -> Project:
    """Make a project whose first admin is the caller. Raises Refused: no name, or one taken."""
    actor.require(Role.ADMIN)
    name = name.strip()
    slug = slugify(name)[:50]
    if not slug or len(name) > MAX_NAME or "\0" in name:
        message = f"A project needs a name with letters or digits, at most {MAX_NAME}, and no NUL."
        raise Refused("bad_name", message, status=422, fields={"name": "letters or digits"})
    project = create_project(slug=slug, name=name, owner=actor.user)
    made_in = actor._replace(project=project)
    record(actor=made_in, verb="project.created", target=f"project:{slug}")
    return project


def _keep_an_admin(member: Membership) -> None:
    """Raise Refused(409) when nobody else could let people in again. Locks the project's row."""
    Project.objects.select_for_update().get(pk=member.project_id)
    admins = Membership.objects.filter(project=member.project, role=Role.ADMIN)
    others = admins.filter(user__is_active=True).exclude(pk=member.pk)
    if member.role == Role.ADMIN and not others.exists():
        raise Refused(
            "last_admin",
            f"{member.user.username} is the last admin of {member.project.name}.",
            "Make somebody else an admin first.",
            status=409,
        )


def _role(role: str) -> Role:
    if role not in Role.values:
        message = f"A role is one of {', '.join(Role.values)}."
        raise Refused("bad_role", message, status=422, fields={"role": message})
    return Role(role)


def _username(name: str) -> str:
    try:
        UnicodeUsernameValidator()(name)
    except ValidationError as err:
        raise Refused(
            "bad_username", " ".join(err.messages), status=422, fields={"username": "not a name"}
        ) from err
    if len(name) > 150:
        raise Refused("bad_username", "A name has at most 150 characters.", status=422)
    return name


def _bad_password(field: str, message: str) -> Refused:
    return Refused("bad_password", message, status=422, fields={field: message})
