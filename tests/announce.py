"""Announcing a checkpoint as an engine does: a fixture for whoever imports it in a conftest."""

from __future__ import annotations

import hashlib
from itertools import count
from pathlib import Path

import pytest
from django.db import transaction

from apps.checkpoints.ingest import store_checkpoints
from apps.checkpoints.models import Checkpoint
from apps.runs import storage
from apps.runs.ingest import IngestContext
from engine.events import Event

_seqs = count(1)
FILES = {"config.json": b"{}", "model.safetensors": b"weights", "sub/chat_template.jinja": b"x"}


@pytest.fixture
def announce(tmp_path):
    """`announce(run, kind="base", files={...}, step=, final=)` → the row."""

    def make(run, *, kind="base", method="full", step=1, final=True, files=FILES) -> Checkpoint:
        shard = run.shards.get()
        context = IngestContext(run, shard, shard.attempts.get(), Path("/nonexistent"))
        rows = []
        for path, content in files.items():
            sha256 = hashlib.sha256(content).hexdigest()
            (tmp_path / sha256).write_bytes(content)
            context.keys[sha256] = storage.put_file(
                tmp_path / sha256, sha256=sha256, prefix="checkpoints"
            )
            rows.append({"path": path, "sha256": sha256, "size": len(content)})
        data = {"path": "out", "files": rows, "step": step, "final": final, "kind": kind,
                "method": method, "metrics": {"loss": 0.5}}  # fmt: skip
        event = Event(next(_seqs), 1.0, "checkpoint", data)
        with transaction.atomic():
            store_checkpoints(context, [event])
        return Checkpoint.objects.get(pk=context.notes[event.seq]["checkpoint_id"])

    return make
