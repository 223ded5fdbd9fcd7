"""Traces: the list with its facets, and one episode with its replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpResponse, JsonResponse
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.errors import not_found
from apps.accounts.models import Role
from apps.checkpoints.queries import list_model_ids
from apps.launch import services as launch
from apps.traces import queries, services
from apps.web.access import PageRequest, back, draw, go, page
from apps.web.reading import decimal_of, text_of, whole_of
from apps.web.templatetags.show import ICONS, problem_of
from engine.traces.record import ENDINGS
from engine.traces.v3.meaning import WORLD

WHOLE = ("run", "seed", "min_unique", "max_unique")
SCRIPTED = ("guide", "random")
WORDS = ("model", "policy", "achievement", "missing", "ended", "label")


@require_safe
@page()
def trace_list(request: PageRequest) -> HttpResponse:
    filters = filters_of(request)
    failed = filters.pop("failed_calls")
    order = text_of(request.GET, "order") or "-id"
    cursor = text_of(request.GET, "cursor")
    found = queries.list_episodes(
        project=request.actor.project, order=order, cursor=cursor, failed_calls=failed, **filters
    )
    context = {
        "page": found,
        "filters": filters,
        "order": order,
        "failed": failed,
        "labels": queries.list_labels(project=request.actor.project),
        "names": sorted(ICONS),
        "endings": ENDINGS,
        "narrowed": any(value is not None for value in filters.values()) or failed is not None,
    }
    return draw(request, "traces/_rows.html" if request.htmx else "traces/list.html", context)


def filters_of(request: PageRequest) -> dict[str, Any]:
    """What the address narrows a list of traces to: fields of `queries.EpisodeQuery`."""
    filters: dict[str, Any] = {name: whole_of(request.GET, name) for name in WHOLE}
    filters |= {name: text_of(request.GET, name) for name in WORDS}
    filters["min_return"] = decimal_of(request.GET, "min_return")
    filters["failed_calls"] = {"yes": True, "no": False}.get(request.GET.get("failed_calls", ""))
    return filters


@require_safe
@page()
def trace_page(request: PageRequest, trace_id: int) -> HttpResponse:
    found = queries.get_episode(project=request.actor.project, episode_id=trace_id)
    turns = queries.load_turns(found.episode, messages=False)
    n_achievements = len(found.achievements)
    context = {
        **_forks(found),
        "turns": turns,
        "n": n_achievements,
        "problem": problem_of(found.episode.final_view),
        "unseen": found.episode.world_version == WORLD,  # imported, and we have no pictures
        "at_step": min(whole_of(request.GET, "step") or 0, found.episode.n_steps),
        "models": [*SCRIPTED, *list_model_ids(request.actor.project.pk)],
    }
    return draw(request, "traces/page.html", context)


@require_safe
@page()
def forks(request: PageRequest, trace_id: int) -> HttpResponse:
    found = queries.get_episode(project=request.actor.project, episode_id=trace_id)
    return draw(request, "traces/_forks.html", _forks(found))


@require_POST
@page(Role.EDITOR)
def fork(request: PageRequest, trace_id: int) -> HttpResponse:
    found = queries.get_episode(project=request.actor.project, episode_id=trace_id)
    values: dict[str, Any] = {
        "step": whole_of(request.POST, "step") or 0,
        "repeats": whole_of(request.POST, "n") or 8,
    }
    model = text_of(request.POST, "model")
    if model:
        values["model"] = model
    run = launch.fork(actor=request.actor, episode=found.episode, values=values)
    said = f"Run {run.pk} plays {values['repeats']} branches; they appear below as they end."
    return go(request, f"/traces/{trace_id}/?step={values['step']}#forks", said)


def _forks(found: queries.EpisodeDetail) -> dict[str, Any]:
    """The branches of an episode, on one axis of steps and one of differences."""
    made = queries.list_forks(episode=found.episode)
    ends = [branch.n_steps for each in made for branch in each.branches]
    reach = max([1.0, *(abs(value) for value in _bounds(made))])
    return {
        "found": found,
        "episode": found.episode,
        "forks": made,
        "longest": max([1, found.episode.n_steps, *ends]),
        "axis_low": -reach,
        "axis_high": reach,
    }


def _bounds(made: Sequence[queries.Fork]) -> list[float]:
    found = [each.against_original for each in made if each.against_original]
    values = [row[name] for row in found for name in ("difference", "low", "high")]
    return [value for value in values if value is not None]


@require_safe
@page()
def steps(request: PageRequest, trace_id: int) -> JsonResponse:
    found = queries.get_episode(project=request.actor.project, episode_id=trace_id)
    after = whole_of(request.GET, "after") or 0
    return JsonResponse(queries.episode_steps(found.episode, after=after))


@require_safe
@page()
def turn(request: PageRequest, trace_id: int, index: int) -> HttpResponse:
    """What was sent and what came back, in full: fetched when somebody opens a turn."""
    found = queries.get_episode(project=request.actor.project, episode_id=trace_id)
    turns = queries.load_turns(found.episode)
    if not 0 <= index < len(turns):
        raise not_found("turn", index)
    context = {"turn": turns[index], "episode": found.episode, "n_turns": len(turns)}
    template = "traces/_turn.html" if request.htmx else "traces/turn.html"
    return draw(request, template, context)


@require_safe
@page()
def verified(request: PageRequest, trace_id: int) -> HttpResponse:
    found = queries.get_episode(project=request.actor.project, episode_id=trace_id)
    return draw(request, "traces/_verified.html", {"episode": found.episode})


@require_POST
@page(Role.EDITOR)
def verify(request: PageRequest, trace_id: int) -> HttpResponse:
    found = queries.get_episode(project=request.actor.project, episode_id=trace_id)
    run = services.request_verify(episode=found.episode, actor=request.actor)
    said = f"Run {run.pk} plays it again in a fresh process; the answer appears here."
    return go(request, f"/traces/{trace_id}/", said)


@require_POST
@page(Role.EDITOR)
def labels(request: PageRequest, trace_id: int) -> HttpResponse:
    found = queries.get_episode(project=request.actor.project, episode_id=trace_id)
    name = request.POST.get("name", "")
    change = services.remove_label if request.POST.get("remove") else services.set_label
    change(episode=found.episode, name=name, actor=request.actor)
    return go(request, back(request, f"/traces/{trace_id}/"))
