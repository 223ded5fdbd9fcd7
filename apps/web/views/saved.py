"""Saved views of lists: named, shown as chips above the list, deleted."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.http import HttpResponse
from django.views.decorators.http import require_POST

from apps.accounts import saved
from apps.accounts.errors import Refused
from apps.accounts.models import Role
from apps.web.access import PageRequest, go, page
from apps.web.reading import text_of, whole_of


@require_POST
@page(Role.EDITOR)
def change(request: PageRequest) -> HttpResponse:
    """Save the list's present address under a name, or delete the view `delete`.

    With htmx the list changes without the form around it: then the browser says where it stands.
    """
    doomed = whole_of(request.POST, "delete")
    if doomed is not None:
        gone = saved.delete_view(actor=request.actor, view_id=doomed)
        return go(request, f"/{gone.page}/", f"The view {gone.name} is forgotten.")
    query = request.POST.get("query", "")
    if request.htmx and request.htmx.current_url:
        query = urlsplit(request.htmx.current_url).query
    view = saved.save_view(
        actor=request.actor,
        page=text_of(request.POST, "page") or "",
        name=text_of(request.POST, "name") or "",
        query=query,
    )
    return go(request, f"/{view.page}/?{view.query}", f"Saved as {view.name}.")


def views_of(request: PageRequest, of_page: str) -> dict[str, Any]:
    """What `_saved.html` shows: the views of a page, and which of them is open."""
    try:
        here = saved.clean_query(request.GET.urlencode())
    except Refused:  # an address nobody could save
        here = ""
    found = saved.list_views(project=request.actor.project, page=of_page)
    return {"views": found, "views_page": of_page, "view_query": here}
