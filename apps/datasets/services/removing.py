"""Deleting a dataset."""

from __future__ import annotations

from django.db import transaction

from apps.accounts.errors import Refused
from apps.accounts.models import Role
from apps.accounts.queries import Actor
from apps.accounts.services import record
from apps.datasets.models import Dataset
from apps.datasets.queries import runs_using
from synthweb.bell import ring


def delete_dataset(*, actor: Actor, dataset: Dataset) -> None:
    """Remove a dataset that no run was trained on; its file is swept later. Safe twice.

    Raises Refused(409) when a run used it: what a model learned from stays known.
    """
    actor.require(Role.ADMIN)
    used = runs_using(dataset)
    if used:
        raise Refused(
            "in_use",
            f"Dataset {dataset.pk} was used by run {used[0].pk}"
            + (f" and {len(used) - 1} more." if len(used) > 1 else "."),
            "Datasets that a run took in are kept, so that its result can be explained.",
            status=409,
        )
    with transaction.atomic():
        Dataset.objects.filter(pk=dataset.pk, project=actor.project).delete()
        record(actor=actor, verb="dataset.deleted", target=f"dataset:{dataset.pk}")
        ring("pages:datasets")
