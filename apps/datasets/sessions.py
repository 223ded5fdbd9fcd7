"""Stored games as records of the `synth-ai` exporter: the same filters and form as for its files.

Lives here: which games are read, and the records in each format. Not here: the filters and records
themselves (`engine/traces/v3`), datasets (`making.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from django.db.models import QuerySet

from apps.accounts.models import Project
from apps.datasets.records import FORMATS, dump_record
from apps.datasets.selection import run_ids
from apps.runs.models import Run
from apps.traces.models import Episode
from apps.traces.queries import load_trace, session_of
from engine.traces.v3.choosing import SftFilter
from engine.traces.v3.sft import SftRecord, curate, session_records


def project_lines(
    *,
    project: Project,
    wanted: SftFilter,
    runs: Sequence[str] = (),
    task: str = "",
    format: str = "synth",
) -> Iterator[bytes]:
    """Lines of JSONL, games in the order in which they were stored; one game is in memory.

    Broken games (model or task error) are never data. Raises Refused(422) for an unknown run.
    """
    rows = Run.objects.filter(project=project)
    if runs:
        rows = rows.filter(pk__in=run_ids(project, runs))
    games = Episode.objects.filter(run_id__in=rows.values("pk"), broken=False).order_by("pk")
    if task:
        games = games.filter(task=task)
    if wanted.min_unique is not None:  # what does not count only makes it fewer
        games = games.filter(n_achievements__gte=wanted.min_unique)
    for record in curate(_records(games, wanted), wanted):
        if format == "synth":
            yield record.line
        else:
            whole = {**json.loads(record.line), "tools": record.tools}
            yield dump_record(FORMATS[format](whole))


def _records(games: QuerySet[Episode], wanted: SftFilter) -> Iterator[SftRecord]:
    for game in games.iterator(chunk_size=100):
        trace = load_trace(game)
        for record in session_records(session_of(game, trace), wanted):
            yield record._replace(tools=trace.tools)
