"""The wall of games that play now, and one of them."""

from __future__ import annotations

import json

from django.http import HttpResponse, HttpResponseRedirect, JsonResponse
from django.views.decorators.http import require_safe

from apps.accounts.errors import Refused
from apps.runs.queries import find_run
from apps.runs.queries.live import get_live, list_live
from apps.traces.queries import find_game, list_episodes, live_steps
from apps.web.access import PageRequest, draw, page
from apps.web.reading import text_of, whole_of

SORTS = {
    "newest": "newest",
    "achievements": "most achievements",
    "danger": "about to die",
    "steps": "longest",
}


@require_safe
@page()
def wall(request: PageRequest) -> HttpResponse:
    project = request.actor.project
    context = {
        "sorts": SORTS.items(),
        "sort": text_of(request.GET, "sort"),
        "games": list_live(project=project),
        "recent": list_episodes(project=project, limit=8).items,
    }
    return draw(request, "live/wall.html", context)


@require_safe
@page()
def game(request: PageRequest, live_id: int) -> HttpResponse:
    """A running game; when it has ended, its trace."""
    try:
        row = get_live(project=request.actor.project, live_id=live_id)
    except Refused:
        return HttpResponseRedirect(_ended(request))
    return draw(request, "live/game.html", {"game": row})


def _ended(request: PageRequest) -> str:
    """Where a game that has ended is: its trace, at the step of the address; else those like it."""
    run, seed = whole_of(request.GET, "run"), whole_of(request.GET, "seed")
    if run is None:
        return "/live/"
    if seed is None:
        return f"/traces/?run={run}"
    repeat, version = whole_of(request.GET, "repeat"), whole_of(request.GET, "version")
    found = find_game(request.actor.project, run, (seed, repeat or 0, version or 0))
    if found is None:
        return f"/traces/?run={run}&seed={seed}"
    step = whole_of(request.GET, "step")
    return f"/traces/{found.pk}/" + ("" if step is None else f"?step={step}")


@require_safe
@page()
def steps(request: PageRequest, live_id: int) -> JsonResponse:
    row = get_live(project=request.actor.project, live_id=live_id)
    run = find_run(project=request.actor.project, run_id=row.run_id)
    return JsonResponse(live_steps(run, json.loads(row.key)) or {"steps": []})
