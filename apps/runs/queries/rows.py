"""The shapes that run queries return: flat values, ready to show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple


class Progress(NamedTuple):
    """How far a run is. `eta_s` is None while nothing is known or nothing is going on."""

    done: int
    total: int
    unit: str
    eta_s: float | None = None

    @property
    def fraction(self) -> float:
        """0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0


@dataclass(frozen=True)
class RunRow:
    """A run in a list."""

    id: int
    job_id: str
    name: str
    kind: str
    state: str
    progress: Progress
    model: str
    task: str
    result: dict[str, Any]
    error: dict[str, Any] | None
    tags: tuple[str, ...]
    user: str
    config_id: int | None
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def is_live(self) -> bool:
        """Whether the run may still change by itself."""
        return self.state in ("queued", "running", "cancelling")

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end; None unless it has ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()

    @property
    def links(self) -> dict[str, str]:
        """Where more of it is."""
        base = f"/api/v1/runs/{self.id}"
        return {
            "self": base,
            "events": f"{base}/events",
            "metrics": f"{base}/metrics",
            "traces": f"/api/v1/traces?run={self.id}",
            "page": f"/runs/{self.id}/",
        }


@dataclass(frozen=True)
class ShardRow:
    """A shard of a run, with its newest attempt."""

    index: int
    need: str
    state: str
    worker: str
    attempt: int
    done: int
    total: int
    error: dict[str, Any] | None
    waiting_for: str


@dataclass(frozen=True)
class RunDetail(RunRow):
    """A run on its own page."""

    project_id: int
    resolved: dict[str, Any]
    inputs: dict[str, Any]
    effects: list[dict[str, Any]]
    warnings: list[str]
    leaked_seeds: list[int]
    notes: str
    parent_id: int | None
    priority: int
    n_attempts: int
    max_attempts: int
    event_seq: int
    code_version: str
    shards: tuple[ShardRow, ...]  # the first MAX_SHARDS
