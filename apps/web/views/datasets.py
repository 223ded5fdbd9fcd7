"""Datasets: what will the model learn? From a filter over games to a file in two clicks."""

from __future__ import annotations

from typing import Any, BinaryIO, cast

from django.http import HttpResponse, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.views.decorators.http import require_safe

from apps.accounts.errors import Refused
from apps.accounts.models import Project, Role
from apps.accounts.services import record
from apps.datasets import queries, services
from apps.datasets.difference import compare_datasets, find_sides
from apps.datasets.tokens import sample_of_dataset
from apps.runs.queries import find_run, list_runs
from apps.web.access import PageRequest, draw, go, page
from apps.web.reading import decimal_of, numbers_of, text_of, whole_of
from apps.web.templatetags.show import ICONS
from engine.tasks import task_names

FORMATS = ("trl", "openai", "synth")
WHOLE = ("min_unique", "max_unique", "turns_before_unlock", "limit", "max_per_achievement")


@require_safe
@page()
def dataset_list(request: PageRequest) -> HttpResponse:
    cursor = text_of(request.GET, "cursor")
    found = queries.list_datasets(project=request.actor.project, cursor=cursor)
    template = "datasets/_rows.html" if request.htmx else "datasets/list.html"
    return draw(request, template, {"page": found})


@page(Role.EDITOR)
def new(request: PageRequest) -> HttpResponse:
    """GET: the filter with what it would give. POST: make the dataset, or store an upload.

    Counting every game of a project takes long, so the bare page asks for its preview afterwards.
    """
    if request.method == "POST" and request.FILES.get("file"):
        return _upload(request)
    sent = request.POST if request.method == "POST" else request.GET
    chosen = _filter(sent)
    if chosen.get("runs") and "task" not in chosen:
        chosen["task"] = _task_of(request.actor.project, int(chosen["runs"][0]))
    if request.method == "POST":
        made = services.create_dataset(
            project=request.actor.project,
            user=request.actor.user,
            name=text_of(request.POST, "name") or "dataset",
            filter=chosen,
        )
        return go(request, f"/datasets/{made.pk}/", f"{made.name} version {made.version} is made.")
    context = {
        "filter": chosen,
        "chosen_runs": [int(run) for run in chosen.get("runs", [])],
        "preview": services.preview(project=request.actor.project, filter=chosen)
        if request.htmx or request.GET
        else None,
        "sent": {key: request.GET.getlist(key) for key in request.GET if key != "name"},
        "names": sorted(ICONS),
        "tasks": task_names(),
        "runs": [
            run
            for kind in ("eval", "rollout", "import")
            for run in list_runs(project=request.actor.project, kind=kind, limit=30).items
        ],
    }
    template = "datasets/_preview.html" if request.htmx else "datasets/new.html"
    return draw(request, template, context)


@require_safe
@page()
def dataset_page(request: PageRequest, dataset_id: int) -> HttpResponse:
    found = queries.get_dataset(project=request.actor.project, dataset_id=dataset_id)
    sample = queries.read_records(found.dataset, n=2)
    task = found.dataset.filter.get("task", "crafter")
    context = {
        "found": found,
        "sample": sample,
        "formats": FORMATS,
        "task": task,
        "tokens": sample_of_dataset(found.dataset),
        "n_worlds": queries.count_worlds(found.dataset),
        "others": [row for row in found.versions if row.pk != dataset_id],
    }
    return draw(request, "datasets/page.html", context)


@require_safe
@page()
def diff(request: PageRequest, dataset_id: int) -> HttpResponse:
    """What changed from another dataset (`from`; without it the version before) to this one."""
    project, other = request.actor.project, whole_of(request.GET, "from")
    sides = find_sides(project=project, dataset_id=dataset_id, other_id=other)
    context = {
        "diff": compare_datasets(old=sides[0], new=sides[1]),
        "versions": queries.versions_of(sides[1]),
        "sides": sides,
    }
    return draw(request, "datasets/diff.html", context)


@require_safe
@page()
def export(request: PageRequest, dataset_id: int) -> HttpResponseBase:
    found = queries.get_dataset(project=request.actor.project, dataset_id=dataset_id)
    wanted = request.GET.get("format", "trl")
    if wanted not in FORMATS:
        raise Refused("bad_format", f"format is one of {', '.join(FORMATS)}.", status=422)
    lines = queries.export(found.dataset, format=wanted)
    record(actor=request.actor, verb="dataset.exported", target=f"dataset:{dataset_id}")
    response = StreamingHttpResponse(lines, content_type="application/jsonl; charset=utf-8")
    name = f"dataset-{dataset_id}-{wanted}.jsonl"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _task_of(project: Project, run_id: int) -> str:
    """What a run plays; a run that is not there is refused where its games are looked for."""
    try:
        return find_run(project=project, run_id=run_id).task or "crafter"
    except Refused:
        return "crafter"


def _upload(request: PageRequest) -> HttpResponse:
    made = services.upload_dataset(
        project=request.actor.project,
        user=request.actor.user,
        name=text_of(request.POST, "name") or "upload",
        file=cast(BinaryIO, request.FILES["file"]),
    )
    return go(request, f"/datasets/{made.pk}/", f"{made.name} is stored.")


def _filter(data: QueryDict) -> dict[str, Any]:
    """The filter of a form; empty fields mean any."""
    found: dict[str, Any] = {name: whole_of(data, name) for name in WHOLE}
    found |= {name: decimal_of(data, name) for name in ("min_return", "max_return")}
    found["model"] = text_of(data, "model")
    found["task"] = text_of(data, "task")
    runs = numbers_of(data, "runs") or numbers_of(data, "run")
    found["episodes"] = numbers_of(data, "episodes")
    found["runs"] = [str(number) for number in runs]
    for key, alias in (("require", "achievement"), ("exclude", "missing")):
        found[key] = [name for name in (*data.getlist(key), *data.getlist(alias)) if name]
    found["drop_failed_calls"] = data.get("keep_failed") != "yes"
    found["dedupe"] = data.get("dedupe") == "yes"
    found["split"] = text_of(data, "split")
    found["validation_share"] = decimal_of(data, "validation_share")
    return {key: value for key, value in found.items() if value not in (None, [])}
