"""Lists of runs and one run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import F, Q, QuerySet

from apps.accounts.errors import Refused, not_found
from apps.accounts.models import Project
from apps.runs.models import Run, RunState, RunTag, Shard
from apps.runs.paging import Page, check_limit, take_page
from apps.runs.queries.ordering import cursor_of, read_order, sort_runs
from apps.runs.queries.progress import progress_of
from apps.runs.queries.rows import RunDetail, RunRow, ShardRow

MAX_SHARDS = 200
MAX_TAGS = 200  # in the filter of the list
_LONG = ("resolved", "inputs", "effects", "warnings", "leaked_seeds", "notes")  # no list shows them


def list_runs(
    *,
    project: Project,
    kind: str | None = None,
    state: str | None = None,
    tag: str | None = None,
    model: str | None = None,
    q: str | None = None,
    order: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[RunRow]:
    """Runs of a project, newest first; `q` looks into names, models and the run's number.

    order: one of `ordering.ORDERS`. Raises Refused(422) for an unknown state or order, a bad
    cursor or limit.
    """
    sorting = read_order(order)
    rows = _runs(project).defer(*_LONG)
    if state and state not in RunState.values:
        raise Refused(
            "bad_state", f"state is {state!r}: expected one of {RunState.values}.", status=422
        )
    wanted = {"kind": kind, "state": state, "tags__name": tag, "model": model}
    rows = rows.filter(**{k: v.replace("\0", "") for k, v in wanted.items() if v})
    if q:
        rows = rows.filter(_matches(q.replace("\0", "")))
    found = list(sort_runs(rows, sorting, cursor)[: check_limit(limit) + 1])
    tags = _tags_of(found)
    return take_page(
        found,
        limit,
        lambda run: cursor_of(run, sorting),
        lambda run: RunRow(**_row(run, tags.get(run.pk, ()))),
    )


def list_tags(*, project: Project) -> list[str]:
    """The tags that runs of the project have, by name."""
    rows = RunTag.objects.filter(run__project=project).order_by("name")
    return list(rows.values_list("name", flat=True).distinct()[:MAX_TAGS])


def _matches(q: str) -> Q:
    """What a person means by a search word."""
    found = Q(name__icontains=q) | Q(model__icontains=q) | Q(job_id=q)
    return found | Q(pk=int(q)) if q.isascii() and q.isdigit() and len(q) < 19 else found


def find_run(*, project: Project, run_id: int) -> Run:
    """The row itself, for services. Raises Refused(404)."""
    run = Run.objects.filter(project=project, pk=run_id).first()
    if run is None:
        raise not_found("run", run_id)
    return run


def get_run(*, project: Project, run_id: int) -> RunDetail:
    """One run as its page shows it. Raises Refused(404)."""
    run = _runs(project).filter(pk=run_id).first()
    if run is None:
        raise not_found("run", run_id)
    names = (
        "project_id resolved inputs effects warnings leaked_seeds notes parent_id priority "
        "n_attempts max_attempts event_seq code_version"
    )
    detail = {name: getattr(run, name) for name in names.split()}
    row = _row(run, _tags_of([run]).get(run_id, ()))
    return RunDetail(**row, **detail, shards=_shards(run))


def latest_run_id(*, project: Project) -> int | None:
    """The newest run's number; None when there is none."""
    row = Run.objects.filter(project=project).order_by("-id").values_list("id").first()
    return row[0] if row else None


def _runs(project: Project) -> QuerySet[Run]:
    return Run.objects.filter(project=project).annotate(username=F("created_by__username"))


def _tags_of(runs: Iterable[Run]) -> dict[int, tuple[str, ...]]:
    """The tags of runs, by name. By hand: it costs a third of a prefetch of rows."""
    found: dict[int, tuple[str, ...]] = {}
    rows = RunTag.objects.filter(run__in=[run.pk for run in runs]).order_by("name")
    for run_id, name in rows.values_list("run_id", "name"):
        found[run_id] = (*found.get(run_id, ()), name)
    return found


def _row(run: Any, tags: tuple[str, ...]) -> dict[str, Any]:
    """The fields of RunRow, of a run as `_runs` gives it."""
    names = (
        "id job_id name kind state model task result error config_id "
        "created_at queued_at started_at ended_at"
    )
    row = {name: getattr(run, name) for name in names.split()}
    row["progress"] = progress_of(run)
    row["tags"] = tags
    row["user"] = run.username or ""
    return row


def _shards(run: Run) -> tuple[ShardRow, ...]:
    rows = Shard.objects.filter(run=run).order_by("index").defer("episodes", "result")
    return tuple(
        ShardRow(
            index=shard.index,
            need=shard.need,
            state=shard.state,
            worker=shard.worker,
            attempt=shard.token,
            done=shard.progress_done,
            total=shard.progress_total,
            error=shard.error,
            waiting_for=shard.waiting_for,
        )
        for shard in rows[:MAX_SHARDS]
    )
