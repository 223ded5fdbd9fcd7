"""Lists taken away as CSV or JSON, and trace files brought in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.errors import Refused
from apps.accounts.models import Role
from apps.accounts.services import record
from apps.runs import queries as run_queries
from apps.runs.paging import Page
from apps.runs.queries.rows import RunRow
from apps.traces.importing import request_upload
from apps.traces.queries import EpisodeRow, list_episodes
from apps.web.access import PageRequest, draw, go, page
from apps.web.reading import text_of
from apps.web.spreadsheet import csv_lines, json_lines
from apps.web.views import runs as run_views
from apps.web.views import traces as trace_views
from engine.errors import EngineError

FORMATS = {"csv": (csv_lines, "text/csv"), "json": (json_lines, "application/json")}
PAGE = 200
T = TypeVar("T")


@require_safe
@page()
def traces(request: PageRequest) -> HttpResponseBase:
    """The list of traces with the filters of its page, all pages of it."""
    project, filters = request.actor.project, trace_views.filters_of(request)
    order = text_of(request.GET, "order") or "-id"

    def next_page(cursor: str | None) -> Page[EpisodeRow]:
        return list_episodes(project=project, order=order, cursor=cursor, limit=PAGE, **filters)

    return stream_list(request, "traces", (_trace_row(row) for row in _all(next_page)))


@require_safe
@page()
def runs(request: PageRequest) -> HttpResponseBase:
    """The list of runs with the filters of its page, all pages of it."""
    project, filters = request.actor.project, run_views.filters_of(request)
    run_order = text_of(request.GET, "order")

    def next_page(cursor: str | None) -> Page[RunRow]:
        return run_queries.list_runs(
            project=project, order=run_order, cursor=cursor, limit=PAGE, **filters
        )

    return stream_list(request, "runs", (_run_row(row) for row in _all(next_page)))


@require_http_methods(["GET", "HEAD", "POST"])
@page(Role.EDITOR)
def import_traces(request: PageRequest) -> HttpResponse:
    """GET: the form. POST: queue the import of an uploaded tracing v3 file."""
    if request.method != "POST":
        return draw(request, "traces/import.html", {"most": settings.MAX_UPLOAD_BYTES})
    scripted = request.headers.get("Accept") == "application/json"
    try:
        upload = request.FILES.get("file")
        if upload is None:
            raise Refused("no_file", "No file came with the form.", "Choose one.", status=422)
        name = str(upload.name or "traces.db")
        run = request_upload(actor=request.actor, upload=upload, name=name)
    except EngineError as err:
        if not scripted:
            raise
        status = err.status if isinstance(err, Refused) else 422
        return JsonResponse({"error": {"message": err.message, "hint": err.hint}}, status=status)
    said = f"{name} is here; run {run.pk} checks and imports it."
    if scripted:
        messages.success(request, said)
        return JsonResponse({"page": f"/runs/{run.pk}/"}, status=202)
    return go(request, f"/runs/{run.pk}/", said)


def _all(next_page: Callable[[str | None], Page[T]]) -> Iterator[T]:
    cursor: str | None = None
    while True:
        found = next_page(cursor)
        yield from found.items
        cursor = found.next
        if not cursor:
            return


def stream_list(
    request: PageRequest, name: str, rows: Iterable[dict[str, Any]]
) -> StreamingHttpResponse:
    """Rows as a file in the `format` of the address, row by row; the export is audited."""
    wanted = text_of(request.GET, "format") or "csv"
    if wanted not in FORMATS:
        raise Refused("bad_format", f"format is one of {', '.join(FORMATS)}.", status=422)
    lines, kind = FORMATS[wanted]
    target = f"project:{request.actor.project.pk}"
    record(actor=request.actor, verb=f"{name}.exported", target=target)
    response = StreamingHttpResponse(lines(rows), content_type=f"{kind}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.{wanted}"'
    return response


_TRACE = (
    "task", "world_version", "seed", "repeat", "policy", "model", "provider", "temperature",
    "episode_return", "outcome_reward", "n_achievements", "n_steps", "n_turns", "n_failed_calls",
    "ended", "ending", "prompt_tokens", "completion_tokens", "cost_usd", "duration_s", "verified",
)  # fmt: skip
_RUN = ("id", "name", "kind", "state", "model", "task", "user", "tags")


def _trace_row(row: EpisodeRow) -> dict[str, Any]:
    episode = row.episode
    values = {name: getattr(episode, name) for name in _TRACE}
    started = episode.started_at.isoformat()
    words = {"achievements": row.achievements, "labels": row.labels}
    return {"id": episode.pk, "run": episode.run_id, **values, "started_at": started, **words}


def _run_row(row: RunRow) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in _RUN}
    values["tags"] = list(row.tags)
    values |= {"done": row.progress.done, "total": row.progress.total, "unit": row.progress.unit}
    for score in ("unique", "return", "outcome"):
        figure = row.result.get(score)
        values[f"mean_{score}"] = figure.get("mean") if isinstance(figure, dict) else None
    values["error"] = row.error["message"] if row.error else None
    for name in ("created_at", "started_at", "ended_at"):
        moment = getattr(row, name)
        values[name] = moment.isoformat() if moment else None
    return values
