"""The audit log: who did what, to what, when and from where; for admins of the project."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpResponse, HttpResponseBase
from django.views.decorators.http import require_safe

from apps.accounts.audit import AuditRow, all_audit, list_audit, list_verbs
from apps.accounts.models import Role
from apps.accounts.queries import list_members
from apps.web.access import PageRequest, draw, page
from apps.web.reading import text_of, whole_of
from apps.web.views.exports import stream_list
from apps.web.views.settings import draw_section


@require_safe
@page(Role.ADMIN)
def audit(request: PageRequest) -> HttpResponse:
    project, filters = request.actor.project, _filters(request)
    found = list_audit(project=project, cursor=whole_of(request.GET, "cursor"), **filters)
    context = {
        "page": found,
        "filters": filters,
        "verbs": list_verbs(project),
        "members": [member.user.username for member in list_members(project)],
    }
    if request.htmx:
        return draw(request, "settings/_audit.html", context)
    return draw_section(request, "audit", context)


@require_safe
@page(Role.ADMIN)
def export(request: PageRequest) -> HttpResponseBase:
    """The log with the filters of its page, all pages of it."""
    rows = all_audit(project=request.actor.project, **_filters(request))
    return stream_list(request, "audit", (_row(row) for row in rows))


def _filters(request: PageRequest) -> dict[str, Any]:
    return {name: text_of(request.GET, name) for name in ("user", "verb", "target")}


def _row(row: AuditRow) -> dict[str, Any]:
    detail = json.dumps(row.detail) if row.detail else ""
    return {**row._asdict(), "at": row.at.isoformat(), "detail": detail}
