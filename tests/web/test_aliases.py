"""Base models that stand for others: offered as one click, set by nobody but the operator."""

from __future__ import annotations

import pytest

from apps.providers.models import ModelAlias
from apps.providers.queries import resolve_alias

pytestmark = pytest.mark.django_db
OFFER = "Let the small model stand for them"
ASKED = "ask for Qwen/Qwen3-0.6B, Qwen/Qwen3-1.7B"


def test_one_click_sets_all_that_the_button_names_and_it_is_gone(alice, client_of, project):
    browser = client_of(alice)
    shown = browser.get("/settings/aliases/").content.decode()
    assert OFFER in shown
    assert f"{ASKED}, Qwen/Qwen3-4B." in shown
    names = ["Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B", "Qwen/Qwen3-4B"]
    browser.post("/settings/aliases/", {"requested": names, "resolved": "synthweb/crafter-small"})
    assert {row.requested for row in ModelAlias.objects.all()} == set(names)
    shown = browser.get("/settings/aliases/").content.decode()
    assert OFFER not in shown
    assert resolve_alias(project=project, model=names[2]) == "synthweb/crafter-small"


def test_nothing_is_set_by_itself_and_readers_get_no_button(bob, client_of):
    assert OFFER not in client_of(bob).get("/settings/aliases/").content.decode()
    assert ModelAlias.objects.count() == 0


def test_the_environment_may_say_it_and_the_page_says_so(alice, client_of, project, settings):
    settings.MODEL_ALIASES = {"Qwen/Qwen3-4B": "synthweb/crafter-small"}
    shown = client_of(alice).get("/settings/aliases/").content.decode()
    assert "set by SYNTHWEB_MODEL_ALIASES" in shown
    assert f"{ASKED}." in shown
    assert resolve_alias(project=project, model="Qwen/Qwen3-4B") == "synthweb/crafter-small"
    ModelAlias.objects.create(project=project, requested="Qwen/Qwen3-4B", resolved="a/b")
    assert resolve_alias(project=project, model="Qwen/Qwen3-4B") == "a/b"
