"""Checkpoints: which model do I use next?"""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.errors import Refused, not_found
from apps.accounts.models import Role
from apps.checkpoints import queries, services
from apps.checkpoints.archive import zip_checkpoint
from apps.checkpoints.card import list_downloads, model_card, open_download
from apps.checkpoints.leaderboard import leaderboards
from apps.checkpoints.models import Checkpoint
from apps.datasets.queries import lineage
from apps.inference.queries import usage_by_model
from apps.launch import services as launch
from apps.runs.models import Run
from apps.traces.queries import find_opening
from apps.web.access import PageRequest, draw, go, page
from apps.web.lineage_graph import draw_lineage
from apps.web.markdown import render_markdown
from apps.web.reading import text_of
from apps.web.relations import versus

SHOW_SEEDS = 500_000_000  # games to look at: far from the seeds of trainings and evaluations


@require_safe
@page()
def checkpoint_list(request: PageRequest) -> HttpResponse:
    kind, cursor = text_of(request.GET, "kind"), text_of(request.GET, "cursor")
    found = queries.list_checkpoints(project=request.actor.project, kind=kind, cursor=cursor)
    scored = [row for row in found.items if row.scores]
    # Models of different tasks have no common measure: the newest one's counts.
    scored = [row for row in scored if row.scores[0].main.name == scored[0].scores[0].main.name]
    context: dict[str, Any] = {
        "page": found,
        "best": max(scored, key=lambda row: row.scores[0].main.mean, default=None),
    }
    if not request.htmx:
        context |= {"boards": leaderboards(project=request.actor.project)}
    template = "checkpoints/_rows.html" if request.htmx else "checkpoints/list.html"
    return draw(request, template, context)


@require_safe
@page()
def checkpoint_page(request: PageRequest, uid: str) -> HttpResponse:
    found = queries.get_checkpoint(project=request.actor.project, uid=uid)
    row = found.checkpoint
    task = queries.task_of(row)
    name = urlencode({"set": f"model={row.model_id}"})
    family, born = lineage(row), queries.descendants_of(row)
    project = request.actor.project
    context = {
        "found": found,
        "checkpoint": row,
        "task": task,
        "ancestors": family.ancestors[::-1],
        "descendants": born,
        "lineage": family,
        "graph": draw_lineage(row, family, descendants=born, scores=found.scores),
        "versus": versus(row.base, [score.run_id for score in found.scores]),
        "evaluate": f"/configs/new/?file={task}_eval_base.toml&{name}",
        "files": list_downloads(row),
        "card": render_markdown(model_card(row)),
        "usage": usage_by_model(project=project, model=row.model_id),
        "top": max([1.0, *(score.main.high for score in found.scores)]) * 1.05,
    }
    if request.actor.may_edit:  # who may not spend compute has nobody to talk to
        context["opening"] = find_opening(project=project, model=row.model_id, task=task)
    return draw(request, "checkpoints/page.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@page(Role.ADMIN)
def import_model(request: PageRequest) -> HttpResponse:
    """GET: the form. POST: queue the import of a model from the hub or a folder here."""
    fields = {name: text_of(request.POST, name) or "" for name in ("source", "name", "revision")}
    context: dict[str, Any] = {"root": settings.BASE_MODELS_DIR, **fields}
    if request.method != "POST":
        return draw(request, "checkpoints/import.html", context)
    try:
        run = launch.request_model(
            actor=request.actor,
            source=fields["source"],
            name=fields["name"],
            revision=fields["revision"],
        )
    except Refused as err:
        return draw(
            request, "checkpoints/import.html", {**context, "error": err}, status=err.status
        )
    return go(request, f"/runs/{run.pk}/", f"{run.model} is being imported; its log says how far.")


@require_POST
@page(Role.EDITOR)
def act(request: PageRequest, uid: str, verb: str) -> HttpResponse:
    row = queries.get_checkpoint(project=request.actor.project, uid=uid).checkpoint
    if verb == "play":
        run = _play(request, row)
        return go(request, f"/runs/{run.pk}/", "A game on a world of its own; it appears below.")
    deeds = {
        "serve": (services.request_serve, "It is being loaded; the next call does not wait."),
        "stop": (services.request_stop, "It is unloaded; the next call loads it again."),
        "delete": (services.delete_checkpoint, f"{row.model_id} is deleted."),
    }
    if verb not in deeds:
        raise not_found("verb", verb)
    deed, said = deeds[verb]
    deed(actor=request.actor, checkpoint=row)
    return go(request, "/checkpoints/" if verb == "delete" else f"/checkpoints/{uid}/", said)


def _play(request: PageRequest, row: Checkpoint) -> Run:
    """One game on a world that nobody chose, as the task's evaluations play it."""
    name = f"{queries.task_of(row)}_eval_base.toml"
    text = (settings.BASE_DIR / "configs" / name).read_text(encoding="utf-8")
    seed = SHOW_SEEDS + secrets.randbelow(SHOW_SEEDS)
    sets = [
        f'name="a game of {row.model_id[:150]}"',
        "type=rollout",
        f"model={row.model_id}",
        f"seeds=[{seed}]",
    ]
    config = launch.import_config(actor=request.actor, text=text, name=name)
    run = launch.launch(actor=request.actor, config=config, sets=sets)
    assert isinstance(run, Run)  # noqa: S101  (its model is here, so nothing has to be made first)
    return run


@require_safe
@page()
def archive(request: PageRequest, uid: str) -> HttpResponseBase:
    """All its files in one zip, made while it is sent."""
    row = queries.get_checkpoint(project=request.actor.project, uid=uid).checkpoint
    response = StreamingHttpResponse(zip_checkpoint(row), content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{row.uid}.zip"'
    return response


@require_safe
@page()
def file(request: PageRequest, uid: str, name: str) -> HttpResponseBase:
    found = queries.get_file(project=request.actor.project, uid=uid, path=name)
    content, size = open_download(found)
    response = StreamingHttpResponse(content, content_type="application/octet-stream")
    response["Content-Length"] = str(size)
    response["Content-Disposition"] = "attachment"
    return response
