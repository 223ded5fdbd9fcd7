"""Reads of stored configs."""

from __future__ import annotations

from apps.accounts.errors import not_found
from apps.accounts.models import Project
from apps.runs.models import Config
from apps.runs.paging import Page, check_limit, decode_cursor, take_page


def list_configs(
    *,
    project: Project,
    kind: str | None = None,
    q: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Config]:
    """Configs of a project, newest first."""
    rows = Config.objects.filter(project=project).order_by("-id")
    if kind:
        rows = rows.filter(kind=kind)
    if q:
        rows = rows.filter(name__icontains=q.replace("\0", ""))
    after = decode_cursor(cursor, int)
    if after:
        rows = rows.filter(id__lt=after[0])
    found = list(rows[: check_limit(limit) + 1])
    return take_page(found, limit, lambda row: (row.pk,), lambda row: row)


def get_config(*, project: Project, config_id: int) -> Config:
    """One config. Raises Refused(404)."""
    config = Config.objects.filter(project=project, pk=config_id).first()
    if config is None:
        raise not_found("config", config_id)
    return config
