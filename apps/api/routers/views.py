"""Saved views: names for the filters and the order of a list, shared by a project's members."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema, Status

from apps.accounts import saved
from apps.accounts.models import SavedView
from apps.api.auth import actor_of
from apps.api.shapes import Listed

router = Router(tags=["views"])


class ViewIn(Schema):
    """What to keep: `query` is what stands behind the `?` of the list's address."""

    page: str
    name: str
    query: str


class ViewOut(Schema):
    """A saved view; `links.page` opens it."""

    id: int
    page: str
    name: str
    query: str
    user: str
    at: datetime
    links: dict[str, str]

    @classmethod
    def of(cls, row: SavedView) -> dict[str, Any]:
        plain = {name: getattr(row, name) for name in ("id", "page", "name", "query", "at")}
        user = row.user.username if row.user else ""
        return {**plain, "user": user, "links": {"page": f"/{row.page}/?{row.query}"}}


@router.get("/views", response=Listed[ViewOut])
def list_views(request: HttpRequest, page: str | None = None) -> dict[str, Any]:
    """The project's saved views by name: of `runs`, of `traces`, or of both."""
    rows = saved.list_views(project=actor_of(request).project, page=page)
    return {"items": [ViewOut.of(row) for row in rows], "next": None}


@router.post("/views", response={201: ViewOut})
def save_view(request: HttpRequest, body: ViewIn) -> Status[dict[str, Any]]:
    """Keep the filters of a list under a name; the same name gets the new filters."""
    return Status(201, ViewOut.of(saved.save_view(actor=actor_of(request), **body.dict())))


@router.delete("/views/{view_id}", response={204: None})
def delete_view(request: HttpRequest, view_id: int) -> Status[None]:
    """Forget a view; what it showed stays."""
    saved.delete_view(actor=actor_of(request), view_id=view_id)
    return Status(204, None)
