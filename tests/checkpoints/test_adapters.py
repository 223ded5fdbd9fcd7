"""An adapter's row names the weights that it needs, and its folder leads to them."""

from __future__ import annotations

import pytest

from apps.accounts.errors import Refused
from apps.checkpoints.services import delete_checkpoint, local_folder
from tests.games import make_run

pytestmark = pytest.mark.django_db
ADAPTER = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"few weights"}


@pytest.fixture
def base(project, announce):
    return announce(make_run(project, "base", model="a/b"))


def adapt(project, announce, parent, files=ADAPTER):
    """A checkpoint that was trained from `parent`."""
    inputs = {"base": {"checkpoint_id": parent.pk, "base_model": "a/b"}}
    run = make_run(project, "sft", model=parent.model_id, inputs=inputs)
    return announce(run, kind="sft", method="lora", files=files)


def test_an_adapter_on_an_adapter_needs_the_weights_of_the_first(project, announce, base):
    first = adapt(project, announce, base)
    second = adapt(project, announce, first)
    assert (first.weights, second.weights, second.base) == (base, base, first)
    whole = adapt(project, announce, first, files={"model.safetensors": b"merged and trained"})
    assert whole.weights is None


def test_the_folder_of_an_adapter_leads_to_its_base(project, announce, base):
    adapter = adapt(project, announce, base)
    folder = local_folder(adapter)
    assert (folder / "base").resolve() == local_folder(base).resolve()
    assert (folder / "base" / "model.safetensors").read_bytes() == b"weights"
    assert local_folder(adapter) == folder


def test_weights_that_adapters_need_are_not_deleted(project, announce, base, actor):
    adapter = adapt(project, announce, base)
    with pytest.raises(Refused, match="1 adapters need"):
        delete_checkpoint(actor=actor, checkpoint=base)
    delete_checkpoint(actor=actor, checkpoint=adapter)
    delete_checkpoint(actor=actor, checkpoint=base)
