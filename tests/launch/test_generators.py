"""A vLLM server that a training names: which addresses are called, and whose key goes there."""

from __future__ import annotations

import pytest

from apps.accounts.errors import Refused
from apps.launch import services
from apps.providers.services import create_provider
from apps.runs.keys import PROVIDER_KEY
from apps.worker.inputs import prepare_inputs
from tests.servers.instance import free_port

pytestmark = pytest.mark.django_db
TOML = """
type = "rl"
[model]
base = "synthweb/crafter-small"
[vllm]
url = "{url}"
"""


def config_of(actor, url: str):
    return services.import_config(actor=actor, text=TOML.format(url=url), name="rl.toml")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8001", "http://169.254.169.254", "file:///etc"])
def test_a_server_inside_is_not_called_unless_the_operator_lists_it(actor, starter, url, settings):
    settings.ALLOW_HOSTS = ["127.0.0.1:8002"]
    with pytest.raises(Refused) as caught:
        services.launch(actor=actor, config=config_of(actor, url))
    assert caught.value.code in ("private_address", "bad_url")


def test_a_listed_one_is_pinned_and_gets_the_key_of_its_own_provider_only(
    actor, starter, settings, monkeypatch
):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings.ALLOW_HOSTS = [f"127.0.0.1:{port}"]
    run = services.launch(actor=actor, config=config_of(actor, url))
    assert run.inputs["vllm"] == {"url": url}
    assert any("without a key" in warning for warning in run.warnings)
    create_provider(actor=actor, name="gpus", base_url=f"{url}/v1", key="vllm-0123456789")
    run = services.launch(actor=actor, config=config_of(actor, url))
    del run.inputs["base"]  # a folder that this test has no weights for
    prepared = prepare_inputs(run, 1)
    assert prepared.inputs["vllm"]["address"] == "127.0.0.1"
    assert prepared.environment == {PROVIDER_KEY: "vllm-0123456789"}
    assert "vllm-0123456789" not in str(run.inputs)
