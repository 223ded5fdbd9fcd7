"""Reads of the audit log; it is written by `services.record`, in the transaction of each deed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Max

from apps.accounts.models import AuditEntry, Project

PAGE = 50


class AuditRow(NamedTuple):
    """One deed: who, what, to what, when, from where."""

    id: int
    at: datetime
    user: str  # "" when the account is gone
    verb: str
    target: str
    detail: dict[str, Any]
    address: str | None  # None: at the shell of the server


class AuditPage(NamedTuple):
    """Deeds, newest first; `next` is the cursor of the older ones, None at the end."""

    items: list[AuditRow]
    next: str | None


def list_audit(
    *,
    project: Project,
    user: str | None = None,
    verb: str | None = None,
    target: str | None = None,
    cursor: int | None = None,
    limit: int = PAGE,
) -> AuditPage:
    """Deeds in a project. `verb` and `target` match from their start: "run." or "run:31".

    The cursor is the id of the last deed shown: page 1,000 costs what page 1 does.
    """
    rows = AuditEntry.objects.filter(project=project).order_by("-id")
    if user:
        rows = rows.filter(actor__username=user)
    if verb:
        rows = rows.filter(verb__startswith=verb)
    if target:
        rows = rows.filter(target__startswith=target)
    if cursor is not None:
        rows = rows.filter(pk__lt=cursor)
    found = list(rows.select_related("actor")[: limit + 1])
    more = len(found) > limit
    items = [_row(entry) for entry in found[:limit]]
    return AuditPage(items, str(items[-1].id) if more else None)


def all_audit(*, project: Project, **filters: Any) -> Iterator[AuditRow]:
    """Every deed that the filters leave, newest first, in pages of 500."""
    cursor: int | None = None
    while True:
        page = list_audit(project=project, cursor=cursor, limit=500, **filters)
        yield from page.items
        if page.next is None:
            return
        cursor = int(page.next)


def list_verbs(project: Project) -> list[str]:
    """The kinds of deeds that the project's log holds, by name."""
    rows = AuditEntry.objects.filter(project=project).values("verb").annotate(last=Max("id"))
    return sorted(row["verb"] for row in rows)


def _row(entry: AuditEntry) -> AuditRow:
    user = entry.actor.username if entry.actor else ""
    return AuditRow(entry.pk, entry.at, user, entry.verb, entry.target, entry.detail, entry.address)
