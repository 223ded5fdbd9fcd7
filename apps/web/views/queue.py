"""The queue and the workers that empty it."""

from __future__ import annotations

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from apps.runs.queries import list_queue, list_workers
from apps.web.access import PageRequest, draw, page


@require_safe
@page()
def queue(request: PageRequest) -> HttpResponse:
    context = {"rows": list_queue(project=request.actor.project), "workers": list_workers()}
    return draw(request, "queue/_queue.html" if request.htmx else "queue/page.html", context)
