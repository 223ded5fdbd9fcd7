"""Traces: the list with its facets, and one episode with its replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse, JsonResponse
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.errors import Refused, not_found
from apps.accounts.models import Role
from apps.checkpoints.queries import find_model, list_model_ids
from apps.launch import services as launch
from apps.traces import queries, services
from apps.traces.models import Episode
from apps.web.access import PageRequest, back, draw, go, page
from apps.web.reading import decimal_of, numbers_of, text_of, whole_of
from apps.web.templatetags.show import ICONS, problem_of
from apps.web.views.saved import views_of
from engine.traces.record import ENDINGS
from engine.traces.v3.meaning import WORLD

WHOLE = ("run", "seed", "min_unique", "max_unique")
SCRIPTED = ("guide", "random")
WORDS = ("model", "policy", "task", "achievement", "missing", "ended", "label")
YES_NO = {"yes": True, "no": False}


@require_safe
@page()
def trace_list(request: PageRequest) -> HttpResponse:
    filters, project = filters_of(request), request.actor.project
    order = text_of(request.GET, "order") or "-id"
    cursor = text_of(request.GET, "cursor")
    query = queries.EpisodeQuery(**filters)
    found = queries.list_episodes(project=project, query=query, order=order, cursor=cursor)
    context = {
        "page": found,
        "facets": queries.count_facets(project=project, query=query) if found.items else None,
        "filters": filters,
        "order": order,
        "labels": queries.list_labels(project=project),
        "names": sorted(ICONS),
        "endings": ENDINGS,
        "narrowed": any(value is not None for value in filters.values()),
        **views_of(request, "traces"),
    }
    return draw(request, "traces/_rows.html" if request.htmx else "traces/list.html", context)


def filters_of(request: PageRequest) -> dict[str, Any]:
    """What the address narrows a list of traces to: fields of `queries.EpisodeQuery`."""
    filters: dict[str, Any] = {name: whole_of(request.GET, name) for name in WHOLE}
    filters |= {name: text_of(request.GET, name) for name in WORDS}
    filters |= {name: decimal_of(request.GET, name) for name in ("min_return", "max_return")}
    for name in ("failed_calls", "solved"):
        filters[name] = YES_NO.get(request.GET.get(name, ""))
    return filters


@require_safe
@page()
def first(request: PageRequest) -> HttpResponse:
    """To the moment in which the games of the address first unlocked its `achievement`."""
    query = queries.EpisodeQuery(**filters_of(request))
    unlock = queries.first_unlock(project=request.actor.project, query=query)
    return go(request, f"/traces/{unlock.episode_id}/?step={unlock.step}")


@require_POST
@page(Role.EDITOR)
def bulk(request: PageRequest) -> HttpResponse:
    """One deed for all ticked games: label, unlabel, dataset or verify."""
    ids = numbers_of(request.POST, "traces")
    chosen = queries.find_episodes(project=request.actor.project, ids=ids)
    what = request.POST.get("what", "label")
    if what == "dataset":
        return go(request, f"/datasets/new/?{_chosen_query(chosen)}")
    address, games = back(request, "/traces/"), f"{len(chosen)} game{'s'[: len(chosen) != 1]}"
    if what == "verify":
        run = services.request_verify_all(episodes=chosen, actor=request.actor)
        return go(request, address, f"Run {run.pk} plays {games} again in a fresh process.")
    name = request.POST.get("name", "")
    if what == "label":
        services.label_episodes(episodes=chosen, name=name, actor=request.actor)
        return go(request, address, f"{games} labelled {name.strip()}.")
    if what == "unlabel":
        n = services.unlabel_episodes(episodes=chosen, name=name, actor=request.actor)
        return go(request, address, f"{n} of {games} had the label {name.strip()}; it is off.")
    raise Refused("bad_verb", f"There is no bulk action {what[:20]!r}.", status=422)


def _chosen_query(chosen: Sequence[Episode]) -> str:
    """The address of a dataset of exactly these games. Raises Refused(422) for a mixture."""
    tasks = sorted({episode.task for episode in chosen})
    if len(tasks) > 1:
        raise Refused(
            "mixed_tasks",
            f"A dataset holds games of one task; these are of {' and '.join(tasks)}.",
            "Narrow the list to one task first.",
            status=422,
        )
    ids = ",".join(str(episode.pk) for episode in chosen)
    return urlencode({"task": tasks[0], "episodes": ids})


@require_safe
@page()
def trace_page(request: PageRequest, trace_id: int) -> HttpResponse:
    found = queries.get_episode(project=request.actor.project, episode_id=trace_id)
    step, turn = whole_of(request.GET, "step"), whole_of(request.GET, "from")
    n_achievements = len(found.achievements)
    project_id, name = request.actor.project.pk, found.episode.model
    model = find_model(project_id, name) if name else None
    base = model.base.model_id if model and model.base else None
    context = {
        **_forks(found),
        "transcript": queries.load_transcript(found.episode, step=step, turn=turn),
        "n": n_achievements,
        "problem": problem_of(found.episode.final_view),
        "unseen": found.episode.world_version == WORLD,  # imported, and we have no pictures
        "checkpoint": model,
        "base": base,
        "models": [*SCRIPTED, *(each for each in list_model_ids(project_id) if each != base)],
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
    return JsonResponse(
        queries.packed_steps(found.episode), json_dumps_params={"separators": (",", ":")}
    )


@require_safe
@page()
def turns(request: PageRequest, trace_id: int) -> HttpResponse:
    """A page of the transcript: fetched when somebody comes near it."""
    found = queries.get_episode(project=request.actor.project, episode_id=trace_id)
    page = queries.load_turn_page(found.episode, whole_of(request.GET, "from") or 0)
    return draw(request, "traces/_turns.html", {"episode": found.episode, "page": page})


@require_safe
@page()
def turn(request: PageRequest, trace_id: int, index: int) -> HttpResponse:
    """What was sent and what came back, in full: fetched when somebody opens a turn."""
    found = queries.get_episode(project=request.actor.project, episode_id=trace_id)
    turn = queries.load_turn(found.episode, index)
    if turn is None:
        raise not_found("turn", index)
    context = {
        "turn": turn,
        "episode": found.episode,
        "is_last": index + 1 >= found.episode.n_turns,
        "tokens": queries.sampled_tokens(turn),
        "loss": queries.loss_mask(found.episode, turn),
    }
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
