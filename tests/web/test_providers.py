"""Providers in the browser: presets, changing, rotating and forgetting a key, prices, the test."""

from __future__ import annotations

import pytest

from apps.accounts.models import AuditEntry
from apps.providers.models import Provider
from apps.providers.queries import key_of
from tests.servers.openai_server import OpenAIServer
from tests.servers.task_app_server import TaskAppServer

KEY = "gsk_very-secret-value"


@pytest.fixture
def server(settings):
    with OpenAIServer() as server:
        settings.ALLOW_HOSTS = [f"127.0.0.1:{server.port}"]
        yield server


@pytest.fixture
def browser(client_of, alice, project):
    return client_of(alice)


@pytest.fixture
def added(browser, server) -> Provider:
    """A provider as somebody adds it by the form."""
    browser.post("/settings/providers/", form(server, key=KEY))
    return Provider.objects.get()


def form(server, **more: object) -> dict[str, object]:
    return {"name": "groq", "base_url": server.base_url, "kind": "openai",
            "max_concurrent": 8, "requests_per_minute": 30, "timeout_s": 20, "max_tries": 3,
            "prices": "qwen/qwen3-32b 0.29 0.59\n* 1 2\n", **more}  # fmt: skip


def test_a_preset_fills_the_form(browser):
    page = browser.get("/settings/providers/?preset=groq").content.decode()
    assert "https://api.groq.com/openai/v1" in page
    assert (
        'value="task_app"' in browser.get("/settings/providers/?preset=task-app").content.decode()
    )


def test_limits_and_prices_are_stored_and_the_key_is_never_shown(browser, added):
    assert (added.timeout_s, added.max_tries, added.requests_per_minute) == (20, 3, 30)
    assert added.prices["qwen/qwen3-32b"] == {"input": 0.29, "output": 0.59}
    page = browser.get("/settings/providers/").content.decode()
    assert "$0.29 / 0.59" in page
    assert KEY not in page


def test_an_empty_key_keeps_it_a_new_one_rotates_it_and_it_can_be_forgotten(browser, added, server):
    where = f"/settings/providers/{added.pk}/"
    browser.post(where, form(server, enabled="1", max_concurrent=4))
    added.refresh_from_db()
    assert (key_of(added), added.max_concurrent, added.enabled) == (KEY, 4, True)
    browser.post(where, form(server, enabled="1", key="gsk_another-secret"))
    added.refresh_from_db()
    assert key_of(added) == "gsk_another-secret"
    browser.post(where, form(server, drop_key="1"))
    added.refresh_from_db()
    assert (key_of(added), added.enabled) == ("", False)
    assert AuditEntry.objects.filter(verb="provider.changed").count() == 3


def test_a_price_that_is_none_names_its_line(browser, added, server):
    where = f"/settings/providers/{added.pk}/"
    answer = browser.post(where, form(server, prices="* 1 2\nqwen cheap\n"))
    assert "Line 2 of the prices" in answer.content.decode()


def test_only_an_admin_changes_a_provider(client_of, bob, added, server):
    where = f"/settings/providers/{added.pk}/"
    assert client_of(bob).post(where, form(server)).status_code == 403


def test_the_button_of_a_task_app_checks_health_and_task_info(browser, settings):
    with TaskAppServer(key="env-key-0123456789") as app:
        settings.ALLOW_HOSTS = [f"127.0.0.1:{app.port}"]
        values = {"name": "remote", "base_url": app.url, "kind": "task_app", "key": "wrong-key-1"}
        browser.post("/settings/providers/", values)
        pk = Provider.objects.get().pk
        page = browser.post(f"/settings/providers/{pk}/test/").content.decode()
        assert "refused the key of remote" in page
        assert Provider.objects.get().timeout_s == 600
