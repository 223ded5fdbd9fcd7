"""Home: what is happening, what did we learn last, and three buttons that start something real."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpResponse
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.errors import Refused
from apps.accounts.models import Project, Role
from apps.accounts.services import close_tour
from apps.launch import services as launch
from apps.launch.models import Pipeline
from apps.launch.queries import PipelineRow, list_pipelines
from apps.launch.queries.loops import LOOPS, list_loops
from apps.runs import queries
from apps.runs.queries import RunRow
from apps.runs.queries.live import LiveRow, list_live
from apps.web.access import PageRequest, draw, go, page
from apps.web.relations import comparable
from apps.web.tour import tour_of
from engine.rollout.scores import MainScore, main_score
from synthweb.train_parts import read_status

STARTS = {
    "random": "crafter_eval_random.toml",
    "guide": "crafter_eval_guide.toml",
    **{loop.key: loop.file for loop in LOOPS},
}
LADDER = 6
LADDER_TOP = 14  # achievements at the right end


class Job(NamedTuple):
    """A live run with the newest pictures of its games."""

    run: RunRow
    games: list[LiveRow]


class Rung(NamedTuple):
    """A finished evaluation and what it is judged by."""

    run: RunRow
    score: MainScore


@require_safe
@page()
def home(request: PageRequest) -> HttpResponse:
    project = request.actor.project
    evals = queries.list_runs(project=project, kind="eval", state="succeeded", limit=60).items
    ladder = _ladder(evals)
    tuned = [rung.run.id for rung in ladder if ":" in rung.run.model]
    context = {
        **_running(project),
        "ladder": ladder,
        "comparable": comparable([rung.run.id for rung in ladder]),
        "ladder_top": 1.0 if ladder and ladder[0].score.name == "accuracy" else LADDER_TOP,
        "failures": queries.list_runs(project=project, state="failed", limit=4).items,
        "recent": queries.list_runs(project=project, state="succeeded", limit=6).items,
        "counts": queries.count_runs(project=project),
        "training": read_status(),
        "choices": list_loops(project=project),
        "tour": tour_of(request.actor, tuned[-1] if tuned else None),
    }
    return draw(request, "home/page.html", context)


@require_safe
@page()
def running(request: PageRequest) -> HttpResponse:
    return draw(request, "home/_running.html", _running(request.actor.project))


@require_safe
@page()
def install(request: PageRequest) -> HttpResponse:
    return draw(request, "home/_install.html", {"training": read_status()})


@require_POST
@page(Role.EDITOR)
def start(request: PageRequest) -> HttpResponse:
    name = STARTS.get(request.POST.get("what", ""))
    if name is None:
        raise Refused("bad_start", f"Start one of {', '.join(STARTS)}.", status=422)
    _check_start(request.actor.project, request.POST["what"])
    text = (settings.BASE_DIR / "configs" / name).read_text(encoding="utf-8")
    config = launch.import_config(actor=request.actor, text=text, name=name)
    started = launch.launch(actor=request.actor, config=config)
    room = "pipelines" if isinstance(started, Pipeline) else "runs"
    return go(request, f"/{room}/{started.pk}/", f"{config.name} is on its way.")


@require_POST
@page(Role.EDITOR)
def end_tour(request: PageRequest) -> HttpResponse:
    close_tour(user=request.actor.user)
    return go(request, "/")


def _check_start(project: Project, what: str) -> None:
    """Raises Refused(409) for a loop that lacks something on this machine."""
    for choice in list_loops(project=project) if what == "gpu" else []:
        if choice.loop.key == what and choice.missing:
            words = " ".join(choice.missing)
            hint = "The laptop's loop goes the same road with a small model."
            raise Refused("not_here", words, hint, status=409)


def _running(project: Project) -> dict[str, Any]:
    """Live runs with their games, and pipelines that go on."""
    games: dict[int, list[LiveRow]] = {}
    for game in list_live(project=project, limit=40):
        games.setdefault(game.run_id, []).append(game)
    runs = [
        run
        for state in ("running", "cancelling", "queued")
        for run in queries.list_runs(project=project, state=state, limit=8).items
    ]
    jobs = [Job(run, games.get(run.id, [])[:6]) for run in runs]
    loops: list[PipelineRow] = list_pipelines(project=project, state="running", limit=4).items
    return {"jobs": jobs, "loops": loops}


def _ladder(evals: list[RunRow]) -> list[Rung]:
    """The newest finished evaluation of each model, weakest first.

    Only evaluations that are scored alike stand on one ladder: those like the newest of all.
    """
    tasks: dict[str, dict[str, Rung]] = {}
    for run in evals:
        if score := main_score(run.result):
            tasks.setdefault(score.name, {}).setdefault(run.model, Rung(run, score))
    newest = next(iter(tasks.values()), {})
    return sorted(list(newest.values())[:LADDER], key=lambda rung: rung.score.mean)
