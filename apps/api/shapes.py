"""What the API answers: the public shapes, written once for code and OpenAPI."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from ninja import Schema
from pydantic import Field

from apps.accounts.models import ApiKey, Membership
from apps.runs.models import Config
from apps.runs.queries import RunDetail, RunRow
from apps.traces.models import Episode

T = TypeVar("T")
RowId = Annotated[int, Field(ge=0, lt=2**63)]  # larger ones are an error to a database, not a miss


class Listed(Schema, Generic[T]):
    """A page of a list. `next` is the cursor of the page behind, null at the end."""

    items: list[T]
    next: str | None


class KeyOut(Schema):
    """An API key without its clear text."""

    id: int
    name: str
    prefix: str
    scopes: list[str]
    user: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> dict[str, Any]:
        names = ("name", "prefix", "scopes", "created_at", "expires_at", "last_used_at")
        row = {name: getattr(key, name) for name in (*names, "revoked_at")}
        return {"id": key.pk, "user": key.user.username, **row}


class MemberOut(Schema):
    """A member of the project."""

    username: str
    role: str
    must_change_password: bool
    last_login: datetime | None

    @classmethod
    def of(cls, row: Membership) -> dict[str, Any]:
        names = ("username", "must_change_password", "last_login")
        return {"role": row.role, **{name: getattr(row.user, name) for name in names}}


class ConfigOut(Schema):
    """A stored config; `data` is what was written, parsed."""

    id: int
    name: str
    kind: str
    sha256: str
    toml: str
    data: dict[str, Any]
    parent: int | None
    created_at: datetime

    @classmethod
    def of(cls, config: Config) -> dict[str, Any]:
        names = ("name", "kind", "sha256", "toml", "data", "created_at")
        row = {name: getattr(config, name) for name in names}
        return {"id": config.pk, "parent": config.parent_id, **row}


class ProgressOut(Schema):
    """How far a run is; `eta_s` in seconds, null while unknown."""

    done: int
    total: int
    unit: str
    eta_s: float | None


class RunOut(Schema):
    """A run in a list."""

    id: int
    number: int
    job_id: str
    name: str
    kind: str
    state: str
    progress: ProgressOut
    model: str
    task: str
    result: dict[str, Any]
    error: dict[str, Any] | None
    tags: list[str]
    user: str
    config: int | None
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    links: dict[str, str]

    @classmethod
    def of(cls, row: RunRow) -> dict[str, Any]:
        plain = {name: getattr(row, name) for name in _names(cls, "number", "config")}
        return {
            **plain,
            "number": row.id,
            "config": row.config_id,
            "progress": row.progress._asdict(),
        }


class RunDetailOut(RunOut):
    """A run with its frozen config and inputs, what had no effect here, and its shards."""

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
    shards: list[dict[str, Any]]

    @classmethod
    def of(cls, row: RunRow) -> dict[str, Any]:
        assert isinstance(row, RunDetail)  # noqa: S101
        return {**super().of(row), "shards": [asdict(shard) for shard in row.shards]}


class EpisodeOut(Schema):
    """An episode in a list."""

    id: int
    run_id: int
    task: str
    world_version: str
    seed: int
    repeat: int
    policy: str
    policy_version: int
    model: str
    provider: str
    temperature: float
    episode_return: float = Field(serialization_alias="return")
    outcome_reward: float
    unique_achievements: int
    achievements: list[str]
    labels: list[str]
    steps: int
    turns: int
    failed_calls: int
    ended: str
    ending: str
    broken: bool
    verified: bool | None
    verify_note: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    started_at: datetime
    duration_s: float
    final_view: str
    links: dict[str, str]

    @classmethod
    def of(cls, episode: Episode, achievements: list[str], labels: list[str]) -> dict[str, Any]:
        ours = ("unique_achievements", "achievements", "labels", "steps", "turns", "links")
        base = f"/api/v1/traces/{episode.pk}"
        return {
            **{name: getattr(episode, name) for name in _names(cls, *ours, "failed_calls")},
            "unique_achievements": episode.n_achievements,
            "achievements": achievements,
            "labels": labels,
            "steps": episode.n_steps,
            "turns": episode.n_turns,
            "failed_calls": episode.n_failed_calls,
            "links": {"self": base, "steps": f"{base}/steps", "page": f"/traces/{episode.pk}/"},
        }


def _names(shape: type[Schema], *without: str) -> list[str]:
    """The fields of a shape that its row has under the same name."""
    return [name for name in shape.model_fields if name not in {*without, "progress", "shards"}]
