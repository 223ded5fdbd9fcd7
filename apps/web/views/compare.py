"""Two or more runs, world by world: which is better, and where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from apps.runs.queries import RunRow, list_runs
from apps.traces.queries import compare_runs, get_episode
from apps.web.access import PageRequest, draw, page
from apps.web.reading import numbers_of, whole_of
from apps.web.templatetags.show import number

AXIS_MARGIN = 1.15
WON, LOST, TIED = ("win", "good"), ("loss", "bad"), ("tie", "faint")  # word, class


@require_safe
@page()
def compare(request: PageRequest) -> HttpResponse:
    project = request.actor.project
    chosen = list(dict.fromkeys(numbers_of(request.GET, "runs")))
    evals = list_runs(project=project, kind="eval", limit=60).items
    context: dict[str, Any] = {"evals": evals, "chosen": chosen, "found": None}
    context["side_a"], context["side_b"] = _suggested(evals, chosen)
    if len(chosen) >= 2:
        found = compare_runs(project=project, run_ids=chosen)
        runs = {run.pk: run for run in found.runs}
        context["found"] = found
        context["views"] = [_view(pair, runs) for pair in found.pairs]
    return draw(request, "compare/page.html", context)


def _suggested(evals: Sequence[RunRow], chosen: Sequence[int]) -> tuple[int, int]:
    """Whom the form offers as A and B: what was chosen, else the newest two of one task."""
    by_task: dict[str, list[int]] = {}
    for run in evals:
        by_task.setdefault(run.task, []).append(run.id)
    task = next((run.task for run in evals if run.id in chosen), None)
    pairs = [by_task[task]] if task else [ids for ids in by_task.values() if len(ids) > 1]
    offered = [*chosen, *(run_id for ids in pairs for run_id in ids), *(run.id for run in evals)]
    first, second, *_ = (*dict.fromkeys(offered), 0, 0)
    return first, second


def _view(pair: dict[str, Any], runs: dict[int, Any]) -> dict[str, Any]:
    """A pair with its runs, the axes of its plots, and its achievements by difference."""
    rows = sorted(pair["per_achievement"].items(), key=lambda item: -item[1]["difference"])
    games = sorted(pair["games"], key=lambda game: game["score_b"] - game["score_a"])
    bounds = [abs(value) for value in (*pair["ci95"], pair["difference"]) if value is not None]
    reach = max([1.0, *bounds]) * AXIS_MARGIN
    low, high = pair["ci95"]
    verdict = "open"
    if low is not None and low > 0:
        verdict = "better"
    elif high is not None and high < 0:
        verdict = "worse"
    return {
        "pair": pair,
        "a": runs[pair["a"]],
        "b": runs[pair["b"]],
        "rows": [item for item in rows if item[1]["rate_a"] or item[1]["rate_b"]],
        "never": [name for name, row in rows if not row["rate_a"] and not row["rate_b"]],
        "games": [_row(game) for game in games[::-1]],
        "start": -reach,
        "end": reach,
        "verdict": verdict,
    }


def _row(game: dict[str, Any]) -> dict[str, str]:
    """A game as it is shown. In words: a template takes 50 µs to write a number, and here are
    thousands."""
    gained = game["score_b"] - game["score_a"]
    verdict, look = WON if gained > 0 else LOST if gained < 0 else TIED
    scores = {name: number(game[name]) for name in ("score_a", "score_b")}
    words = {name: str(value) for name, value in game.items()}
    return {**words, **scores, "verdict": verdict, "look": look}


@require_safe
@page()
def games(request: PageRequest) -> HttpResponse:
    """Two games side by side, step by step: `?a=TRACE&b=TRACE`."""
    project = request.actor.project
    sides = [
        get_episode(project=project, episode_id=whole_of(request.GET, name) or 0)
        for name in ("a", "b")
    ]
    return draw(request, "compare/games.html", {"sides": sides})
