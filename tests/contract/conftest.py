"""The model that small machines train, and the operator's word that it stands for Synth's."""

from __future__ import annotations

import pytest

from apps.accounts.queries import Actor
from apps.checkpoints.models import Checkpoint
from apps.providers.services import set_alias
from tests.launch.conftest import make_checkpoint


@pytest.fixture
def starter(actor: Actor) -> Checkpoint:
    """The starting model, made already, with an alias for Qwen/Qwen3-4B."""
    set_alias(actor=actor, requested="Qwen/Qwen3-4B", resolved="synthweb/crafter-small")
    return make_checkpoint(actor.project, "synthweb/crafter-small", kind="base", base_model="")
