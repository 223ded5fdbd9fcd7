"""Parts of a launched world: the starting model, finished runs, stored configs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils.timezone import now

from apps.accounts.models import Project
from apps.accounts.queries import Actor
from apps.checkpoints.models import Checkpoint
from apps.launch import services
from apps.runs.models import Attempt, Config, Run, RunState
from apps.runs.services import move_run
from tests.announce import announce
from tests.games import make_trace, store_games

__all__ = ["announce"]

RANDOM = 'provider = "builtin"\nmodel = "random"\nseeds = "100..103"\n'


@pytest.fixture
def store(actor: Actor) -> Callable[..., Config]:
    """Stores a TOML as alice does."""

    def import_text(text: str, name: str = "x.toml", **more: object) -> Config:
        return services.import_config(actor=actor, text=text, name=name, **more)  # type: ignore[arg-type]

    return import_text


@pytest.fixture
def starter(project: Project) -> Checkpoint:
    """The starting model, as if its run had made it."""
    return make_checkpoint(project, "synthweb/crafter-small", kind="base")


def make_checkpoint(project: Project, model_id: str, **values: object) -> Checkpoint:
    number = Checkpoint.objects.count() + 1
    defaults = {"kind": "sft", "base_model": "synthweb/crafter-small", **values}
    return Checkpoint.objects.create(
        uid=f"ck_{number:012x}", project=project, model_id=model_id, **defaults
    )


def end_run(
    run: Run, state: RunState = RunState.SUCCEEDED, scores: list[int] | None = None
) -> None:
    """Let a queued run end; `scores`: unique achievements of its games, seed by seed."""
    run.refresh_from_db()
    move_run(run, RunState.RUNNING)
    if scores is not None:
        names = [f"achievement_{i}" for i in range(22)]
        shard = run.shards.get()
        Attempt.objects.create(shard=shard, number=1, worker="w", started_at=now())
        seeds = [episode["seed"] for episode in shard.episodes]
        store_games(
            run,
            [
                make_trace(seed, unlocks=names[:score], n_turns=max(score, 1))
                for seed, score in zip(seeds, scores, strict=True)
            ],
        )
    error = {"code": "x", "message": "It broke.", "hint": ""}
    move_run(run, state, error=error if state == RunState.FAILED else None)
