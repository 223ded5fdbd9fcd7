"""A dataset's records as the tokens that a training saw, coloured by what the loss counts.

The training itself writes them (`engine/jobs/sft.py`, an artifact of role `tokens`): nothing here
loads a tokenizer.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from apps.datasets.models import Dataset
from apps.runs import storage
from apps.runs.models import Artifact, Run, RunInput
from engine.errors import StorageError

ROLE = "tokens"
MAX_BYTES = 4 * 1024 * 1024


class TokenSample(NamedTuple):
    """What one training saw of its data. `records`: {record, n_tokens, n_learned, pieces}."""

    run_id: int
    model: str
    n_tokens: int  # of all its records
    n_learned: int  # those that the loss counts
    sequence_length: int
    records: list[dict[str, Any]]  # the first ones; a piece is {ids, text, learned}

    @property
    def learned_share(self) -> float:
        return self.n_learned / self.n_tokens if self.n_tokens else 0.0


def sample_of_run(run: Run) -> TokenSample | None:
    """The tokens that a run was trained on; None for runs that kept none."""
    return _read(Artifact.objects.filter(run=run, role=ROLE).order_by("-id").first())


def sample_of_dataset(dataset: Dataset) -> TokenSample | None:
    """The tokens of the newest training on this dataset that kept some."""
    used = RunInput.objects.filter(kind="dataset", object_id=dataset.pk, role="data")
    rows = Artifact.objects.filter(run__in=used.values("run_id"), role=ROLE)
    return _read(rows.filter(run__project=dataset.project_id).order_by("-id").first())


def _read(row: Artifact | None) -> TokenSample | None:
    if row is None:
        return None
    try:
        found = json.loads(storage.read_bytes(row.storage_key, limit=MAX_BYTES))
        records = [{**record, "pieces": _pieces(record)} for record in found["records"]]
        return TokenSample(
            row.run_id,
            str(found["model"]),
            int(found["n_tokens"]),
            int(found["n_learned"]),
            int(found["sequence_length"]),
            records,
        )
    except (StorageError, ValueError, KeyError, TypeError):
        return None  # swept or not ours: the page goes without


def _pieces(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"ids": " ".join(map(str, ids)), "text": str(text), "learned": bool(learned)}
        for ids, text, learned in record["pieces"]
    ]
