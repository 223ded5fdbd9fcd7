"""Runs: the list, one run, its live parts, and what people do to it."""

from __future__ import annotations

from statistics import mean
from typing import Any

from django.http import HttpResponse, HttpResponseRedirect, JsonResponse
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.errors import Refused, not_found
from apps.accounts.models import Role
from apps.datasets.tokens import sample_of_run
from apps.launch import services as launch
from apps.runs import queries, services
from apps.runs.models import Run, RunState
from apps.runs.queries.live import list_live, list_sparks
from apps.traces.queries import grpo_iteration, list_episodes, reward_bins, run_scores
from apps.web.access import PageRequest, back, draw, go, page
from apps.web.curve_order import SYSTEM, order_curves, split_time
from apps.web.reading import text_of, whole_of
from apps.web.relations import relations_of
from apps.web.views.saved import views_of
from engine.rollout.scores import success_rate

KINDS = ("eval", "rollout", "sft", "rl", "base", "verify", "fork", "import", "import_model")
LOG_TYPES = ("log", "state", "result", "checkpoint")
TILES = 12
RESOURCES = {
    "system.cpu_percent": "Processor, % of one core",
    "system.memory_mb": "Memory, MB",
}
# What the steps of a run's curves count.
UNITS = {"eval": "game", "rollout": "game", "fork": "game", "import": "game", "rl": "update"}


@require_safe
@page()
def run_list(request: PageRequest) -> HttpResponse:
    filters = filters_of(request)
    cursor = text_of(request.GET, "cursor")
    project, order = request.actor.project, text_of(request.GET, "order") or "-id"
    found = queries.list_runs(project=project, cursor=cursor, order=order, limit=40, **filters)
    context = {
        "page": found,
        "sparks": list_sparks(run_ids=[run.id for run in found.items]),
        "counts": queries.count_runs(project=project),
        "filters": filters,
        "order": order,
        "tags": queries.list_tags(project=project),
        "kinds": KINDS,
        "states": RunState.values,
        **views_of(request, "runs"),
    }
    return draw(request, "runs/_rows.html" if request.htmx else "runs/list.html", context)


def filters_of(request: PageRequest) -> dict[str, str | None]:
    """What the address narrows a list of runs to."""
    return {name: text_of(request.GET, name) for name in ("kind", "state", "model", "tag", "q")}


@require_safe
@page()
def latest(request: PageRequest) -> HttpResponse:
    run_id = queries.latest_run_id(project=request.actor.project)
    return HttpResponseRedirect(f"/runs/{run_id}/" if run_id else "/runs/")


@require_safe
@page()
def run_page(request: PageRequest, run_id: int) -> HttpResponse:
    run = queries.find_run(project=request.actor.project, run_id=run_id)
    series = queries.list_series(run=run)
    context = {
        **_status(request, run_id),
        **_scores(run),
        **_episodes(request, run_id),
        "series": series,
        "curves": order_curves(series),
        "times": split_time(series),
        "resources": _resources(run),
        "unit": UNITS.get(run.kind, "step"),
        **_rewards(request, run),
        "log": _log(run),
        "games": list_live(project=request.actor.project, run_id=run_id),
        "config": run.config,
    }
    return draw(request, "runs/page.html", context)


@require_safe
@page()
def status(request: PageRequest, run_id: int) -> HttpResponse:
    return draw(request, "runs/_status.html", _status(request, run_id))


@require_safe
@page()
def scores(request: PageRequest, run_id: int) -> HttpResponse:
    run = queries.find_run(project=request.actor.project, run_id=run_id)
    return draw(request, "runs/_scores.html", {"run": run, **_scores(run)})


@require_safe
@page()
def episodes(request: PageRequest, run_id: int) -> HttpResponse:
    run = queries.find_run(project=request.actor.project, run_id=run_id)
    context = {"run": run, **_episodes(request, run_id)}
    return draw(request, "runs/_episodes.html", context)


@require_safe
@page()
def groups(request: PageRequest, run_id: int) -> HttpResponse:
    run = queries.find_run(project=request.actor.project, run_id=run_id)
    return draw(request, "runs/_groups.html", {"run": run, **_rewards(request, run)})


@require_safe
@page()
def tokens(request: PageRequest, run_id: int) -> HttpResponse:
    """The first records of a training as tokens; fetched when the run's page has drawn the rest."""
    run = queries.find_run(project=request.actor.project, run_id=run_id)
    return draw(request, "datasets/_tokens.html", {"tokens": sample_of_run(run)})


@require_safe
@page()
def points(request: PageRequest, run_id: int) -> HttpResponse:
    run = queries.find_run(project=request.actor.project, run_id=run_id)
    names = request.GET.getlist("name") or None
    after = whole_of(request.GET, "after") or 0
    series: dict[str, list[tuple[int, float]]] = {}
    rows = queries.list_points(run=run, names=names, after=after)
    for row in rows:
        if not names and row.name.startswith(SYSTEM):
            continue  # they have a card of their own, by seconds
        series.setdefault(row.name, []).append((row.step, row.value))
    answer = [{"name": name, "points": found} for name, found in series.items()]
    last = max((row.seq for row in rows), default=after)
    return JsonResponse({"series": answer, "last_seq": last})


@require_POST
@page(Role.EDITOR)
def act(request: PageRequest, run_id: int, verb: str) -> HttpResponse:
    run = queries.find_run(project=request.actor.project, run_id=run_id)
    address = back(request, f"/runs/{run_id}/")
    if verb == "clone":
        copy = launch.clone(actor=request.actor, run=run, queue=True)
        return go(request, f"/runs/{copy.pk}/", f"Run {copy.pk} repeats run {run_id}.")
    deeds = {
        "cancel": (services.cancel_run, "Asked to stop; what it has done is kept."),
        "resume": (services.resume_run, "Queued again; only what is missing is done."),
        "retry-failed": (services.retry_failed, "The broken episodes are played again."),
        "delete": (services.delete_run, f"Run {run_id} is deleted."),
    }
    if verb not in deeds:
        raise not_found("verb", verb)
    deed, said = deeds[verb]
    deed(run=run, actor=request.actor)
    return go(request, "/runs/" if verb == "delete" else address, said)


@require_POST
@page(Role.EDITOR)
def notes(request: PageRequest, run_id: int) -> HttpResponse:
    run = queries.find_run(project=request.actor.project, run_id=run_id)
    if "\0" in request.POST.get("tags", ""):
        raise Refused("bad_tags", "A tag holds no NUL.", status=422)
    services.set_notes(run=run, actor=request.actor, notes=request.POST.get("notes", ""))
    services.set_tags(run=run, actor=request.actor, tags=request.POST.get("tags", "").split(","))
    return go(request, f"/runs/{run_id}/", "Notes and tags are saved.")


def _status(request: PageRequest, run_id: int) -> dict[str, Any]:
    project = request.actor.project
    ties = relations_of(project=project, run=queries.find_run(project=project, run_id=run_id))
    return {"run": queries.get_run(project=project, run_id=run_id), "ties": ties}


def _scores(run: Run) -> dict[str, Any]:
    """The kept scores of a run that is over, else those of what has been played so far."""
    if run.kind not in ("eval", "rollout", "rl", "import", "fork"):
        return {"scores": None}
    kept = run.result if "n_episodes" in run.result else None
    found = kept or run_scores(run)
    rates = found.get("achievements") or {
        status: success_rate(count, found["n"])._asdict()
        for status, count in found.get("answers", {}).items()
    }
    ranked = sorted(rates.items(), key=lambda item: -item[1]["rate"])
    return {"scores": found, "rates": ranked}


def _episodes(request: PageRequest, run_id: int) -> dict[str, Any]:
    found = list_episodes(project=request.actor.project, run=run_id, limit=TILES)
    return {"episodes": found}


def _rewards(request: PageRequest, run: Run) -> dict[str, Any]:
    """How often each return was reached; for a reward training the groups of one iteration."""
    wanted = whole_of(request.GET, "iteration")
    return {
        "bins": reward_bins(run) if run.kind in ("eval", "rollout", "rl") else [],
        "iteration": grpo_iteration(run, wanted) if run.kind == "rl" else None,
    }


def _resources(run: Run) -> list[dict[str, Any]]:
    """What the engine took of its machine, a row a measure with its curve."""
    curves: dict[str, list[float]] = {}
    for point in queries.list_points(run=run, names=list(RESOURCES)):
        curves.setdefault(point.name, []).append(point.value)
    return [
        {"words": RESOURCES[name], "mean": mean(values), "top": max(values), "values": values}
        for name, values in curves.items()
    ]


def _log(run: Run) -> list[queries.EventRow]:
    """The newest lines; older ones are behind the API's `after`."""
    after = max(0, run.event_seq - 400)
    return queries.list_events(run=run, after=after, types=LOG_TYPES, limit=400)
