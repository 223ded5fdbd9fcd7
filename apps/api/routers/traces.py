"""Traces: episodes with their turns, steps, labels, verification, and runs compared by them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.http import HttpRequest
from ninja import Field, Query, Router, Schema, Status

from apps.accounts.errors import Refused
from apps.accounts.queries import Actor
from apps.api.auth import actor_of
from apps.api.shapes import EpisodeOut, Listed, RowId, RunDetailOut
from apps.launch import services as launch
from apps.runs import queries as run_queries
from apps.traces import queries, services
from apps.traces.models import Episode

router = Router(tags=["traces"])


class Filters(Schema):
    """How to narrow a list of episodes."""

    run: RowId | None = None
    model: str | None = None
    policy: str | None = None
    seed: int | None = None
    min_unique: int | None = None
    max_unique: int | None = None
    min_return: float | None = None
    max_return: float | None = None
    achievement: str | None = None
    missing: str | None = None
    ended: str | None = None
    failed_calls: bool | None = None
    verified: bool | None = None
    label: str | None = None
    task: str | None = None
    solved: bool | None = None


class LabelsIn(Schema):
    """Labels to put on and to take off."""

    add: list[str] = []
    remove: list[str] = []


class ForkIn(Schema):
    """Where and how to fork; what is left out is as in the original."""

    step: int = Field(ge=0, description="After how many steps the branches begin.")
    model: str | None = Field(None, description="random, guide, a checkpoint or provider's model.")
    provider: str | None = None
    n: int = Field(8, ge=1, le=1000, description="Branches.")
    temperature: float | None = None
    max_steps: int | None = None
    max_turns: int | None = None
    observation: str | None = None
    name: str | None = None


@router.get("/traces", response=Listed[EpisodeOut], by_alias=True)
def list_traces(
    request: HttpRequest,
    filters: Query[Filters],
    order: str = "-id",
    cursor: str | None = None,
    limit: int = 50,
) -> dict[str, Any]:
    """Episodes; order: -id, id, ±n_achievements, ±episode_return."""
    page = queries.list_episodes(
        project=actor_of(request).project,
        query=queries.EpisodeQuery(**filters.dict()),
        order=order,
        cursor=cursor,
        limit=limit,
    )
    items = [EpisodeOut.of(row.episode, row.achievements, row.labels) for row in page.items]
    return {"items": items, "next": page.next}


@router.get("/traces/{trace_id}")
def get_trace(request: HttpRequest, trace_id: int) -> dict[str, Any]:
    """An episode with its turns: what was sent, said, played, and how long it took."""
    actor = actor_of(request)
    answer = _answer(actor, trace_id)
    turns = queries.load_turns(_episode(actor, trace_id))
    return {**answer, "n_turns": answer["turns"], "turns": [asdict(turn) for turn in turns]}


@router.patch("/traces/{trace_id}")
def label_trace(request: HttpRequest, trace_id: int, body: LabelsIn) -> dict[str, Any]:
    """Put labels on an episode or take them off."""
    actor = actor_of(request)
    episode = _episode(actor, trace_id)
    for name in body.add:
        services.set_label(episode=episode, name=name, actor=actor)
    for name in body.remove:
        services.remove_label(episode=episode, name=name, actor=actor)
    return _answer(actor, trace_id)


@router.get("/traces/{trace_id}/steps")
def list_steps(request: HttpRequest, trace_id: int, after: int = 0) -> dict[str, Any]:
    """Views (base64), actions, rewards and state hashes of the steps behind `after`."""
    return queries.episode_steps(_episode(actor_of(request), trace_id), after=after)


@router.post("/traces/{trace_id}/verify", response={202: RunDetailOut})
def verify_trace(request: HttpRequest, trace_id: int) -> Status[dict[str, Any]]:
    """Play the episode's actions again in a fresh process and compare every state hash."""
    actor = actor_of(request)
    run = services.request_verify(episode=_episode(actor, trace_id), actor=actor)
    return Status(202, RunDetailOut.of(run_queries.get_run(project=actor.project, run_id=run.pk)))


@router.post("/traces/{trace_id}/fork", response={202: RunDetailOut})
def fork_trace(request: HttpRequest, trace_id: int, body: ForkIn) -> Status[dict[str, Any]]:
    """Go on from a step with any policy, `n` branches; the run that does it, of kind fork."""
    actor = actor_of(request)
    values = body.dict(exclude_none=True)
    values["repeats"] = values.pop("n")
    run = launch.fork(actor=actor, episode=_episode(actor, trace_id), values=values)
    return Status(202, RunDetailOut.of(run_queries.get_run(project=actor.project, run_id=run.pk)))


@router.get("/traces/{trace_id}/forks")
def list_forks(request: HttpRequest, trace_id: int) -> dict[str, Any]:
    """Forks of the episode: their branches, and how they ended against it with 95 % intervals."""
    groups = queries.list_forks(episode=_episode(actor_of(request), trace_id))
    return {"items": [group.to_json() for group in groups], "next": None}


@router.get("/compare")
def compare_runs(request: HttpRequest, runs: str) -> dict[str, Any]:
    """Each run against the first, paired by world (`runs=A,B,…`), with 95 % intervals."""
    try:
        ids = [int(part) for part in runs.split(",")]
    except ValueError as err:
        raise Refused(
            "bad_runs", f"runs is {runs!r}: expected run numbers with commas.", status=422
        ) from err
    found = queries.compare_runs(project=actor_of(request).project, run_ids=ids)
    return {
        "runs": [run.pk for run in found.runs],
        "pairs": found.pairs,
        "notes": found.notes,
        "settings": found.settings,
    }


def _episode(actor: Actor, trace_id: int) -> Episode:
    return queries.get_episode(project=actor.project, episode_id=trace_id).episode


def _answer(actor: Actor, trace_id: int) -> dict[str, Any]:
    """An episode as lists show it, with its unlocks."""
    found = queries.get_episode(project=actor.project, episode_id=trace_id)
    labels = [label.name for label in found.labels]
    row = EpisodeOut(**EpisodeOut.of(found.episode, found.achievements, labels))
    unlocks = [{"name": u.name, "step": u.step, "turn": u.turn} for u in found.unlocks]
    return {**row.dict(by_alias=True), "unlocks": unlocks, "error": found.episode.error}
