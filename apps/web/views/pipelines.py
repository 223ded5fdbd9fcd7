"""Pipelines: where is the loop?"""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.errors import not_found
from apps.accounts.models import Role
from apps.launch import queries, services
from apps.launch.queries.loops import list_loops
from apps.web.access import PageRequest, draw, go, page
from apps.web.reading import text_of


@require_safe
@page()
def pipeline_list(request: PageRequest) -> HttpResponse:
    cursor = text_of(request.GET, "cursor")
    found = queries.list_pipelines(project=request.actor.project, cursor=cursor)
    if request.htmx:
        return draw(request, "pipelines/_rows.html", {"page": found})
    choices = list_loops(project=request.actor.project)
    return draw(request, "pipelines/list.html", {"page": found, "choices": choices})


@require_safe
@page()
def pipeline_page(request: PageRequest, pipeline_id: int) -> HttpResponse:
    return draw(request, "pipelines/page.html", _pipeline(request, pipeline_id))


@require_safe
@page()
def stages(request: PageRequest, pipeline_id: int) -> HttpResponse:
    return draw(request, "pipelines/_stages.html", _pipeline(request, pipeline_id))


@require_POST
@page(Role.EDITOR)
def act(request: PageRequest, pipeline_id: int, verb: str) -> HttpResponse:
    row = queries.find_pipeline(project=request.actor.project, pipeline_id=pipeline_id)
    deeds = {
        "cancel": (services.cancel_pipeline, "The loop stops; what is done is kept."),
        "continue": (services.continue_pipeline, "The failed stages are tried again."),
    }
    if verb not in deeds:
        raise not_found("verb", verb)
    deed, said = deeds[verb]
    deed(actor=request.actor, pipeline=row)
    return go(request, f"/pipelines/{pipeline_id}/", said)


def _pipeline(request: PageRequest, pipeline_id: int) -> dict[str, Any]:
    found = queries.get_pipeline(project=request.actor.project, pipeline_id=pipeline_id)
    rows = found.table.get("rows", [])
    top = max([1.0, *(row["ci95"][1] or row["mean"] or 0.0 for row in rows)]) * 1.05
    now = next((stage for stage in found.stages if stage.state == "running"), None)
    proof = next((row for row in rows if row["stage"] == found.table.get("proof")), None)
    return {"pipeline": found, "rows": rows, "top": top, "now": now, "proof": proof}
