"""The closed set of event types and what each one's data holds.

Lives here: the types. Not here: how they are written and read (`files.py`).
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

EventType = Literal[
    "log", "progress", "metric", "view", "episode", "artifact", "dataset", "checkpoint", "result"
]
EVENT_TYPES: frozenset[str] = frozenset(
    ("log", "progress", "metric", "view", "episode", "artifact", "dataset", "checkpoint", "result")
)


class LogData(TypedDict):
    level: Literal["debug", "info", "warning", "error"]
    message: str


class ProgressData(TypedDict):
    """`done` of `total` in `unit` ("episodes", "steps"), of this shard, over all its attempts.

    `retried`: model calls tried again since the last progress event, taken off the run's budget.
    """

    done: int
    total: int
    unit: str
    retried: NotRequired[int]


class MetricData(TypedDict):
    """All values measured at one step; step counts from 1. `tokens` so far, where it is known."""

    step: int
    values: dict[str, float]
    tokens: NotRequired[int]


class FileData(TypedDict):
    """A file below the attempt's directory: `path` relative to it, sha256 in hex, size in bytes."""

    path: str
    sha256: str
    size: int


class ViewData(TypedDict):
    """New views of one running episode. `key` is engine.traces.record.EpisodeKey as a list.

    `first_step` is the index of the first view; each view is base64 of the task's packed view.
    `call` is the last tool call as text, for the feed. `turns` are those since the last emission:
    [index, call, index of the first view it made, number of views]; a failed call made none.
    """

    key: list[Any]
    seed: int
    model: str
    first_step: int
    views: list[str]
    rewards: list[float]
    unlocks: list[list[Any]]
    n_turns: int
    call: str
    turns: NotRequired[list[list[Any]]]


class OriginData(TypedDict):
    """The session of tracing v3 that an episode was imported from; sha256 over its rows.

    verified: played again, it came out as recorded; `note` says how that was seen, or why not.
    """

    session_id: str
    sha256: str
    verified: bool
    note: str


class EpisodeData(TypedDict):
    """A finished episode: `summary` is EpisodeSummary.to_json() and `payload` its trace file.

    verified, verify_note: of a game that was played elsewhere (`Trace.verified`).
    """

    summary: dict[str, Any]
    payload: FileData
    origin: NotRequired[OriginData]
    verified: NotRequired[bool]
    verify_note: NotRequired[str]


class ArtifactData(FileData):
    """A file that belongs to the run; `role` says what it is ("log", "report", "export")."""

    role: str


class DatasetData(TypedDict):
    """A dataset written by a job: JSONL of chat records."""

    name: str
    file: FileData
    n_records: int
    statistics: dict[str, Any]


class CheckpointData(TypedDict):
    """A complete checkpoint: a Hugging Face folder, staged and renamed before this event.

    `path` is the folder relative to the attempt's directory; `files` are relative to that folder.
    `final` marks the one that the run is about; others serve resume. `method`: full | lora | qlora.
    """

    path: str
    files: list[FileData]
    step: int
    final: bool
    kind: str
    method: str
    metrics: dict[str, float]


class ErrorData(TypedDict):
    code: str
    message: str
    hint: str
    retryable: bool


class ResultData(TypedDict):
    """How the attempt ended. `values`: the shard's figures; `error`: None when it succeeded."""

    ok: bool
    values: dict[str, Any]
    error: ErrorData | None
