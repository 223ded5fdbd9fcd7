"""What a worker makes of a run's frozen inputs on its own machine."""

from __future__ import annotations

import pytest

from apps.checkpoints.models import Checkpoint
from apps.worker.inputs import prepare_inputs

pytestmark = pytest.mark.django_db


def test_a_model_of_ours_is_asked_where_this_machine_reaches_us(make_run, project, settings):
    """Launched under one address, played under another: after a move, or on a second machine."""
    row = Checkpoint.objects.create(uid="ck_1", project=project, model_id="m", kind="base")
    frozen = "http://127.0.0.1:1/api/inference/v1"
    run = make_run()
    run.inputs = {"policy": {"kind": "openai", "base_url": frozen, "checkpoint_id": row.pk}}
    settings.INTERNAL_URL = "http://10.0.0.7:8123"
    prepared = prepare_inputs(run, 1)
    assert prepared.inputs["policy"]["base_url"] == "http://10.0.0.7:8123/api/inference/v1"
    assert prepared.inputs["policy"]["key_env"] in prepared.environment
