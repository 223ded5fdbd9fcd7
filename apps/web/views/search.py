"""Search across everything: a page, and the list inside the command palette."""

from __future__ import annotations

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from apps.launch.queries.search import search as find
from apps.web.access import PageRequest, draw, page
from apps.web.reading import text_of

ADDRESSES = {
    "run": "/runs/{}/",
    "trace": "/traces/{}/",
    "checkpoint": "/checkpoints/{}/",
    "dataset": "/datasets/{}/",
    "pipeline": "/pipelines/{}/",
    "config": "/configs/{}/",
}


@require_safe
@page()
def search(request: PageRequest) -> HttpResponse:
    words = text_of(request.GET, "q") or ""
    hits = find(project=request.actor.project, words=words)
    found = [(hit, ADDRESSES[hit.kind].format(hit.key)) for hit in hits]
    context = {"q": words, "found": found}
    return draw(request, "search/_hits.html" if request.htmx else "search/page.html", context)
