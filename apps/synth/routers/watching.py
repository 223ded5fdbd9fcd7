"""What happens in a job: events, metrics, timeline, checkpoints. The same events as a stream:
`apps/synth/stream.py`.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router

from apps.api.auth import actor_of
from apps.runs.paging import check_limit
from apps.synth import events, queries
from apps.synth.families import on_all
from apps.synth.models import SynthJob

router = Router(tags=["watching"])


def _job(request: HttpRequest, job_id: str) -> SynthJob:
    return queries.find_job(project=actor_of(request).project, job_id=job_id)


@on_all(router, "GET", "/{job_id}/events")
def list_events(
    request: HttpRequest, job_id: str, since_seq: int = 0, limit: int = 200
) -> dict[str, Any]:
    """Events behind `since_seq`, oldest first. Who waits gets one at least every 5 seconds."""
    events.keep_alive(_job(request, job_id))
    found = events.events_of(_job(request, job_id), since_seq=since_seq, limit=check_limit(limit))
    return {"events": found}


@on_all(router, "GET", "/{job_id}/metrics")
def list_points(
    request: HttpRequest,
    job_id: str,
    after_step: int = -1,
    limit: int = 200,
    name: str = "",
    run_id: str = "",
) -> dict[str, Any]:
    """Points behind `after_step`. `run_id` is Synth's: a job of ours has one training run."""
    del run_id
    found = events.points_of(
        _job(request, job_id), after_step=after_step, limit=check_limit(limit), name=name
    )
    return {"points": found}


@on_all(router, "GET", "/{job_id}/timeline")
def list_timeline(request: HttpRequest, job_id: str, limit: int = 200) -> dict[str, Any]:
    """Only what marks the way: states, checkpoints, the result."""
    found = events.events_of(_job(request, job_id), limit=check_limit(limit), types=events.TIMELINE)
    return {"events": found}


@on_all(router, "GET", "/{job_id}/checkpoints")
def list_checkpoints(request: HttpRequest, job_id: str, limit: int = 10) -> dict[str, Any]:
    """The checkpoints of a job, the newest first."""
    return {"data": events.checkpoints_of(_job(request, job_id), limit=check_limit(limit))}
