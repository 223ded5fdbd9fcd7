"""What people do with checkpoints: serve, stop, delete."""

from __future__ import annotations

from django.db import transaction
from django.utils.timezone import now

from apps.accounts.errors import Refused
from apps.accounts.models import Role
from apps.accounts.queries import Actor
from apps.accounts.services import record
from apps.checkpoints.models import Checkpoint, ServedModel
from apps.checkpoints.services.serving import stop_model, want_model
from synthweb.bell import ring


def request_serve(*, actor: Actor, checkpoint: Checkpoint) -> ServedModel:
    """Serve a checkpoint now, so that the first call does not wait. Safe twice."""
    actor.require(Role.EDITOR)
    with transaction.atomic():
        record(actor=actor, verb="checkpoint.serve", target=f"checkpoint:{checkpoint.uid}")
        return want_model(checkpoint)


def request_stop(*, actor: Actor, checkpoint: Checkpoint) -> None:
    """Stop serving a checkpoint; the next call starts it again. Safe twice."""
    actor.require(Role.EDITOR)
    with transaction.atomic():
        record(actor=actor, verb="checkpoint.stop", target=f"checkpoint:{checkpoint.uid}")
        stop_model(checkpoint)


def delete_checkpoint(*, actor: Actor, checkpoint: Checkpoint) -> None:
    """Hide a checkpoint and forget its files; lineage keeps its name. Safe twice.

    Raises Refused(409) while an adapter needs its weights.
    """
    actor.require(Role.ADMIN)
    adapters = Checkpoint.objects.filter(weights=checkpoint, deleted_at=None)
    if adapters.exists():
        raise Refused(
            "in_use",
            f"{checkpoint.model_id} holds the weights that {adapters.count()} adapters need.",
            "Delete those first.",
            status=409,
        )
    with transaction.atomic():
        Checkpoint.objects.filter(pk=checkpoint.pk, deleted_at=None).update(deleted_at=now())
        checkpoint.files.all().delete()
        stop_model(checkpoint)
        record(actor=actor, verb="checkpoint.deleted", target=f"checkpoint:{checkpoint.uid}")
        ring("pages:checkpoints")
