"""Saved views: a name for the filters and the order of a list, shared by a project's members.

The pages that have them are in PAGES; how their addresses are read is the pages' own affair.
"""

from __future__ import annotations

from django.db import transaction
from django.http import QueryDict

from apps.accounts.errors import Refused, not_found
from apps.accounts.models import Project, Role, SavedView
from apps.accounts.queries import Actor
from apps.accounts.services import record

PAGES = ("runs", "traces")
PASSING = ("cursor", "csrfmiddlewaretoken")  # where one stands in the list, not what it shows
MAX_NAME, MAX_QUERY, MAX_VIEWS = 60, 2000, 100


def list_views(*, project: Project, page: str | None = None) -> list[SavedView]:
    """The views that this project keeps, of one page or of all, by name."""
    rows = SavedView.objects.filter(project=project).select_related("user")
    if page is not None:
        rows = rows.filter(page=page)
    return list(rows.order_by("page", "name"))


def save_view(*, actor: Actor, page: str, name: str, query: str) -> SavedView:
    """Keep what the address says after its `?` under a name. The same name gets the new address.

    Raises Refused(422) for a page without views, a bad name, an address without any filter, or
    the hundred-and-first view of a page.
    """
    actor.require(Role.EDITOR)
    name = " ".join(name.split())
    if page not in PAGES:
        raise _bad("page", f"Views are kept of {' and '.join(PAGES)}, not of {page[:20]!r}.")
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise _bad("name", f"A view's name has 1 to {MAX_NAME} printable characters.")
    kept = clean_query(query)
    if not kept:
        raise _bad("query", "This list shows everything: choose a filter first, then save it.")
    mine = SavedView.objects.filter(project=actor.project, page=page)
    if mine.count() >= MAX_VIEWS and not mine.filter(name=name).exists():
        raise _bad("name", f"A page keeps {MAX_VIEWS} views. Delete one first.")
    with transaction.atomic():
        view, _ = SavedView.objects.update_or_create(
            project=actor.project,
            page=page,
            name=name,
            defaults={"query": kept, "user": actor.user},
        )
        record(actor=actor, verb="view.saved", target=f"view:{view.pk}", detail={"name": name})
    return view


def delete_view(*, actor: Actor, view_id: int) -> SavedView:
    """Forget a view of this project; what it showed stays. Raises Refused(404)."""
    actor.require(Role.EDITOR)
    view = SavedView.objects.filter(project=actor.project, pk=view_id).first()
    if view is None:
        raise not_found("view", view_id)
    with transaction.atomic():
        SavedView.objects.filter(pk=view.pk).delete()
        record(
            actor=actor, verb="view.deleted", target=f"view:{view_id}", detail={"name": view.name}
        )
    return view


def clean_query(query: str) -> str:
    """The filters of an address in one order, without what is empty: equal views are equal texts.

    Raises Refused(422) for what no address of ours says.
    """
    if len(query) > MAX_QUERY or not query.isprintable():
        raise _bad("query", f"An address to keep has at most {MAX_QUERY} printable characters.")
    given = QueryDict(query.removeprefix("?"))
    kept = QueryDict(mutable=True)
    for key in sorted(given):
        values = [value for value in given.getlist(key) if value]
        if values and key not in PASSING:
            kept.setlist(key, values)
    if "%00" in (found := kept.urlencode()) or len(found) > MAX_QUERY:
        raise _bad("query", "That address cannot be kept.")
    return found


def _bad(field: str, message: str) -> Refused:
    return Refused("bad_view", message, status=422, fields={field: message})
