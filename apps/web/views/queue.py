"""The queue and the workers that empty it; cancel and reorder, one run or many."""

from __future__ import annotations

from django.http import HttpResponse
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.errors import Refused, not_found
from apps.accounts.models import Role
from apps.launch.queries.waiting import list_waiting
from apps.runs.queries import find_run, list_held, list_queue, list_workers
from apps.runs.services import cancel_run, set_priority
from apps.web.access import PageRequest, draw, go, page
from apps.web.reading import numbers_of, text_of, whole_of

MAX_AT_ONCE = 200


@require_safe
@page()
def queue(request: PageRequest) -> HttpResponse:
    project = request.actor.project
    context = {
        "rows": list_queue(project=project),
        "stages": list_waiting(project=project),
        "workers": list_workers(),
        "held": list_held(project=project),
    }
    return draw(request, "queue/_queue.html" if request.htmx else "queue/page.html", context)


@require_POST
@page(Role.EDITOR)
def act(request: PageRequest) -> HttpResponse:
    """One deed for all ticked runs: cancel, or another priority."""
    project, ids = request.actor.project, numbers_of(request.POST, "runs")[:MAX_AT_ONCE]
    runs = [find_run(project=project, run_id=run_id) for run_id in dict.fromkeys(ids)]
    if not runs:
        raise Refused("nothing_chosen", "No run is ticked.", "Tick one first.", status=422)
    what, words = text_of(request.POST, "what"), f"{len(runs)} run{'s'[: len(runs) != 1]}"
    if what == "cancel":
        for run in runs:
            cancel_run(run=run, actor=request.actor)
        return go(request, "/queue/", f"{words} asked to stop; what is done is kept.")
    if what == "priority":
        wanted = whole_of(request.POST, "priority")
        for run in runs:
            set_priority(run=run, actor=request.actor, priority=-1 if wanted is None else wanted)
        return go(request, "/queue/", f"{words} with priority {wanted} now.")
    raise not_found("action", what or "")
