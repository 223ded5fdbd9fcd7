"""Checkpoints: which model do I use next?"""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.http import require_safe

from apps.checkpoints import queries
from apps.datasets.queries import lineage
from apps.runs import storage
from apps.web.access import PageRequest, draw, page
from apps.web.reading import text_of
from apps.web.relations import versus


@require_safe
@page()
def checkpoint_list(request: PageRequest) -> HttpResponse:
    kind, cursor = text_of(request.GET, "kind"), text_of(request.GET, "cursor")
    found = queries.list_checkpoints(project=request.actor.project, kind=kind, cursor=cursor)
    scored = [row for row in found.items if row.scores]
    # Models of different tasks have no common measure: the newest one's counts.
    scored = [row for row in scored if row.scores[0].main.name == scored[0].scores[0].main.name]
    context = {
        "page": found,
        "best": max(scored, key=lambda row: row.scores[0].main.mean, default=None),
    }
    template = "checkpoints/_rows.html" if request.htmx else "checkpoints/list.html"
    return draw(request, template, context)


@require_safe
@page()
def checkpoint_page(request: PageRequest, uid: str) -> HttpResponse:
    found = queries.get_checkpoint(project=request.actor.project, uid=uid)
    row = found.checkpoint
    task = queries.task_of(row)
    name = urlencode({"set": f"model={row.model_id}"})
    context = {
        "found": found,
        "checkpoint": row,
        "task": task,
        "ancestors": queries.ancestors_of(row)[::-1],
        "descendants": queries.descendants_of(row),
        "lineage": lineage(row),
        "versus": versus(row.base, [score.run_id for score in found.scores]),
        "evaluate": f"/configs/new/?file={task}_eval_base.toml&{name}",
        "files": queries.list_files(row),
        "card": queries.model_card(row),
        "top": max([1.0, *(score.main.high for score in found.scores)]) * 1.05,
    }
    return draw(request, "checkpoints/page.html", context)


@require_safe
@page()
def file(request: PageRequest, uid: str, name: str) -> HttpResponseBase:
    found = queries.get_file(project=request.actor.project, uid=uid, path=name)
    response = StreamingHttpResponse(
        storage.open_stream(found.storage_key), content_type="application/octet-stream"
    )
    response["Content-Length"] = str(found.size)
    response["Content-Disposition"] = "attachment"
    return response
