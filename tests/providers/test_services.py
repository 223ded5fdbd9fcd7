"""Providers: who may call where, with which key, and what the test button says."""

from __future__ import annotations

import pytest

from apps.accounts.errors import Refused
from apps.accounts.models import AuditEntry
from apps.providers import queries, services
from apps.providers.models import Provider
from tests.servers.openai_server import OpenAIServer

KEY = "gsk_very-secret-value"


@pytest.fixture
def server(settings):
    with OpenAIServer() as server:
        settings.ALLOW_HOSTS = [f"127.0.0.1:{server.port}"]
        yield server


def test_a_key_is_stored_encrypted_and_read_back(actor, server):
    provider = services.create_provider(
        actor=actor, name="local", base_url=server.base_url, key=KEY
    )
    row = Provider.objects.filter(pk=provider.pk).values().get()
    assert KEY not in str(row)
    assert queries.key_of(Provider.objects.get()) == KEY
    assert KEY not in str(list(AuditEntry.objects.values()))


def test_another_secret_cannot_read_the_key(actor, server, settings):
    services.create_provider(actor=actor, name="local", base_url=server.base_url, key=KEY)
    settings.PROVIDER_SECRET = "another one"
    with pytest.raises(Refused, match="another provider secret"):
        queries.key_of(Provider.objects.get())


def test_a_new_address_without_a_new_key_drops_the_old_key(actor, server, settings):
    provider = services.create_provider(
        actor=actor, name="local", base_url=server.base_url, key=KEY
    )
    settings.ALLOW_HOSTS = [*settings.ALLOW_HOSTS, "127.0.0.1:9"]
    services.update_provider(actor=actor, provider=provider, base_url="http://127.0.0.1:9/v1")
    assert queries.key_of(Provider.objects.get()) == ""


def test_a_url_is_matched_by_its_whole_origin(actor, server):
    made = services.create_provider(actor=actor, name="local", base_url=server.base_url)
    url = f"http://127.0.0.1:{server.port}/other/path"
    assert queries.provider_for_url(project=actor.project, url=url) == made
    for other in (f"https://127.0.0.1:{server.port}", f"http://127.0.0.1:{server.port}1"[:21]):
        if queries.origin_of(other) != made.origin:
            with pytest.raises(Refused, match="No provider"):
                queries.provider_for_url(project=actor.project, url=other)


def test_a_taken_name_and_bad_prices_are_refused(actor, server):
    services.create_provider(actor=actor, name="local", base_url=server.base_url)
    with pytest.raises(Refused, match="already a provider"):
        services.create_provider(actor=actor, name="local", base_url=server.base_url)
    with pytest.raises(Refused, match="Prices are"):
        services.create_provider(
            actor=actor, name="b", base_url=server.base_url, prices={"*": {"input": -1}}
        )


def test_a_missing_provider_is_answered_with_what_exists(actor, server):
    services.create_provider(actor=actor, name="local", base_url=server.base_url)
    with pytest.raises(Refused, match="there are: builtin, local"):
        queries.provider_by_name(project=actor.project, name="grok")


def test_the_test_button_says_what_happened(actor, server):
    provider = services.create_provider(
        actor=actor, name="local", base_url=server.base_url, key=KEY
    )
    result = services.test_provider(provider=provider)
    assert KEY not in result.message
    assert result.ok
    provider.base_url = "http://127.0.0.1:1/v1"
    assert not services.test_provider(provider=provider).ok


def test_a_price_is_per_million_tokens(actor, server):
    provider = services.create_provider(
        actor=actor,
        name="local",
        base_url=server.base_url,
        prices={"*": {"input": 1.0, "output": 2.0}},
    )
    price = queries.price_of(provider, "any")
    assert price is not None
    assert price.cost_usd(1_000_000, 500_000) == 2.0


def test_an_alias_is_set_and_ended(actor):
    services.set_alias(actor=actor, requested="Qwen/Qwen3-4B", resolved="synthweb/crafter-small")
    project = actor.project
    assert queries.resolve_alias(project=project, model="Qwen/Qwen3-4B") == "synthweb/crafter-small"
    services.set_alias(actor=actor, requested="Qwen/Qwen3-4B", resolved="")
    assert queries.resolve_alias(project=project, model="Qwen/Qwen3-4B") == "Qwen/Qwen3-4B"
