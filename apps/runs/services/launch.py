"""Making a run and putting it into the queue. Names are resolved above, in `apps.launch`."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypedDict, Unpack

from django.db import transaction
from django.utils.timezone import now

from apps.accounts.errors import Refused
from apps.accounts.models import Project, User
from apps.runs.models import Config, Need, Run, RunInput, RunState, RunTag, Shard, ShardState
from apps.runs.services.doorbell import ring_run
from apps.runs.services.states import move_run


@dataclass(frozen=True)
class ShardPlan:
    """One shard to be made. `total` counts its progress; by default its episodes."""

    need: Need = Need.ROLLOUT
    episodes: list[dict[str, int]] = field(default_factory=list)  # [{seed, repeat}]
    total: int | None = None

    @property
    def progress_total(self) -> int:
        return len(self.episodes) if self.total is None else self.total


class InputPlan(NamedTuple):
    """One edge of the lineage graph: see RunInput."""

    kind: str
    object_id: int
    role: str
    sha256: str = ""


class RunFields(TypedDict, total=False):
    """What `create_run` takes beside the required: see the columns of Run."""

    effects: Sequence[dict[str, Any]]
    warnings: Sequence[str]
    leaked_seeds: Sequence[int]
    task: str
    model: str
    parent: Run | None
    priority: int
    max_attempts: int
    code_version: str
    progress_unit: str
    retry_budget: int


def create_run(
    *,
    project: Project,
    user: User | None,
    kind: str,
    name: str,
    config: Config | None,
    resolved: dict[str, Any],
    inputs: dict[str, Any],
    shards: Sequence[ShardPlan],
    input_rows: Iterable[InputPlan] = (),
    tags: Iterable[str] = (),
    **fields: Unpack[RunFields],
) -> Run:
    """Make a run in state draft with its shards; nothing starts. Every call makes a new one."""
    with transaction.atomic():
        run = Run.objects.create(
            project=project,
            name=name,
            job_id=f"job_{secrets.token_hex(8)}",
            kind=kind,
            config=config,
            resolved=resolved,
            inputs=inputs,
            progress_total=sum(plan.progress_total for plan in shards),
            created_by=user,
            **fields,
        )
        _add_shards(run, shards)
        RunInput.objects.bulk_create(RunInput(run=run, **row._asdict()) for row in input_rows)
        RunTag.objects.bulk_create(RunTag(run=run, name=tag) for tag in sorted(set(tags)))
    return run


def _add_shards(run: Run, plans: Sequence[ShardPlan]) -> None:
    """Make the shards' rows. Raises Refused for a run without any: it could never end."""
    if not plans:
        raise Refused("empty_run", "This run has nothing to do: it has no shards.", status=422)
    moment = now()
    Shard.objects.bulk_create(
        Shard(
            run=run,
            index=index,
            need=plan.need,
            queued_at=moment,
            episodes=plan.episodes,
            progress_total=plan.progress_total,
        )
        for index, plan in enumerate(plans)
    )


def queue_run(*, run: Run) -> Run:
    """draft → queued, and ring the workers. Safe twice: an already queued run stays as it is.

    Raises Refused(409) when the run has left the queue for good.
    """
    with transaction.atomic():
        if move_run(run, RunState.QUEUED):
            Shard.objects.filter(run=run, state=ShardState.QUEUED).update(queued_at=now())
            ring_run(run)
    return run


def fail_draft(*, run: Run, error: dict[str, Any]) -> Run:
    """draft → queued → failed in one step: a run that can never start, with the reason.

    error: {code, message, hint}. Raises Refused(409) for a run that is no draft.
    """
    with transaction.atomic():
        Shard.objects.filter(run=run).update(state=ShardState.FAILED, error=error)
        move_run(run, RunState.QUEUED)
        move_run(run, RunState.FAILED, error=error)
    return run
