"""All reads of configs, runs, events, curves, the queue and workers; rows ready to show."""

from apps.runs.queries.configs import get_config, list_configs
from apps.runs.queries.curves import PointRow, SeriesRow, list_points, list_series
from apps.runs.queries.events import EventRow, list_events
from apps.runs.queries.overlay import Line, NameRow, list_lines, list_names
from apps.runs.queries.queue import (
    Counts,
    HeldRow,
    QueueRow,
    WorkerRow,
    count_runs,
    count_states,
    list_held,
    list_queue,
    list_workers,
)
from apps.runs.queries.rows import Progress, RunDetail, RunRow, ShardRow
from apps.runs.queries.runs import find_run, get_run, latest_run_id, list_runs, list_tags

__all__ = [
    "Counts",
    "EventRow",
    "HeldRow",
    "Line",
    "NameRow",
    "PointRow",
    "Progress",
    "QueueRow",
    "RunDetail",
    "RunRow",
    "SeriesRow",
    "ShardRow",
    "WorkerRow",
    "count_runs",
    "count_states",
    "find_run",
    "get_config",
    "get_run",
    "latest_run_id",
    "list_configs",
    "list_events",
    "list_held",
    "list_lines",
    "list_names",
    "list_points",
    "list_queue",
    "list_runs",
    "list_series",
    "list_tags",
    "list_workers",
]
