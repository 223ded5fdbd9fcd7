"""Curves of several runs over each other: `/curves/?runs=5,9&name=train.loss&x=time`."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from apps.accounts.errors import Refused
from apps.runs import queries
from apps.runs.models import Run
from apps.runs.queries.overlay import Line, NameRow, X, list_lines, list_names, to_json
from apps.web.access import PageRequest, draw, page
from apps.web.curve_order import BANDS, FIRST, FOLDED, PINNED, is_band
from apps.web.reading import numbers_of, text_of, whole_of

MAX_RUNS = 200
AXES: tuple[X, ...] = ("step", "time", "tokens")


@require_safe
@page()
def curves(request: PageRequest) -> HttpResponse:
    """The chosen runs, their metrics by name, and a chart for each one that is asked for."""
    runs = _runs(request)
    found = list_names(runs=runs)
    names = [row for row in found if not is_band(row.name, {row.name for row in found})]
    asked = set(request.GET.getlist("name"))
    shown = [row.name for row in names if row.name in asked] or _pinned(names)
    recent = queries.list_runs(project=request.actor.project, limit=60).items
    context: dict[str, Any] = {
        "runs": runs,
        "names": names,
        "shown": shown,
        "x": _axis(request),
        "axes": AXES,
        "recent": [run for run in recent if run.id not in {row.pk for row in runs}],
    }
    return draw(request, "curves/page.html", context)


@require_safe
@page()
def lines(request: PageRequest) -> JsonResponse:
    """The lines of some metrics: `?runs=5,9&name=…&x=step&first=&last=`, reduced to a screen."""
    names = list(dict.fromkeys(request.GET.getlist("name")))[:50]
    found = list_lines(
        runs=_runs(request),
        names=list(dict.fromkeys([*names, *(name + end for name in names for end in BANDS)])),
        x=_axis(request),
        first=max(0, whole_of(request.GET, "first") or 0),
        last=whole_of(request.GET, "last") or 2**62 - 1,
    )
    return JsonResponse({"lines": [to_json(line) for line in _banded(found, names)]})


def _banded(lines: list[Line], names: list[str]) -> list[Line]:
    """The lines of these names; a metric with bounds of its own has them as its band."""
    found = {(line.run_id, line.name): line for line in lines}
    banded = []
    for line in lines:
        low, high = (found.get((line.run_id, line.name + end)) for end in BANDS)
        if low and high and low.x == high.x == line.x:
            line = line._replace(low=low.mean, high=high.mean)
        banded.append(line)
    return [line for line in banded if line.name in names]


def _runs(request: PageRequest) -> list[Run]:
    """The project's runs that the address names, in its order. Raises Refused for too many."""
    ids = list(dict.fromkeys(numbers_of(request.GET, "runs")))
    if len(ids) > MAX_RUNS:
        raise Refused("bad_runs", f"At most {MAX_RUNS} runs lie over each other.", status=422)
    found = Run.objects.filter(project=request.actor.project).in_bulk(ids)
    return [found[pk] for pk in ids if pk in found]


def _pinned(names: list[NameRow]) -> list[str]:
    """The metrics that one looks at first."""
    found = [row.name for row in names if not row.name.startswith(FOLDED)]
    worth = [name for name in FIRST if name in found]
    rest = [name for name in found if name not in worth]
    return [*worth, *rest][:PINNED]


def _axis(request: PageRequest) -> X:
    asked = text_of(request.GET, "x") or "step"
    if asked not in AXES:
        raise Refused("bad_value", f"x is one of {', '.join(AXES)}.", status=422)
    return asked
