"""What the clients ask about task apps before they submit a training from reward."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from ninja import Router, Schema

from apps.accounts.models import Role
from apps.api.auth import actor_of
from apps.synth import services

router = Router(tags=["task apps"])


class TaskAppIn(Schema):
    """The task app to look at."""

    endpoint_base_url: str


@router.post("/rl/verify_task_app")
def verify_task_app(request: HttpRequest, body: TaskAppIn) -> dict[str, Any]:
    """Ask its /health and /task_info with the keys that may be sent there.

    `candidates_first15` stays empty: not even the beginning of a key is told.
    """
    actor = actor_of(request)
    actor.require(Role.EDITOR)
    report = services.verify_task_app(actor=actor, url=body.endpoint_base_url)
    return {
        "any_ok": report.ok,
        "candidates_first15": [],
        "attempts": [{"path": c.path, "status": c.status} for c in report.calls],
        "message": report.message,
        "hint": report.hint,
        "key_of": report.key_of,
        "task": report.task,
    }


@router.get("/rl/services/{trainer_id}")
def get_service(request: HttpRequest, trainer_id: str) -> dict[str, Any]:
    """Where trainings are started, whatever trainer is named: this instance is the only one."""
    return {"id": trainer_id, "training_start_url": f"{settings.PUBLIC_URL}/api/rl/jobs"}
