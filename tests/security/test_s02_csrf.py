"""S2: a foreign page cannot act with the cookie of a logged-in user."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.test import Client

pytestmark = pytest.mark.django_db
BODY = {"toml": 'type = "eval"\nmodel = "random"\nseeds = [1]\n'}


@pytest.fixture
def browser(alice, project) -> Client:
    """alice's browser, which checks CSRF as the real server does."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    return client


def post(client: Client, **headers: str):
    return client.post("/api/v1/configs", BODY, content_type="application/json", headers=headers)


def test_a_cookie_alone_may_read_but_not_write(browser):
    assert browser.get("/api/v1/me").status_code == 200
    refused = post(browser)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "csrf"


def test_a_cookie_with_the_token_of_our_pages_may_write(browser):
    browser.get("/configs/new/")
    token = browser.cookies[settings.CSRF_COOKIE_NAME].value
    assert post(browser, **{"X-CSRFToken": token}).status_code == 201
    assert post(browser, **{"X-CSRFToken": "t" * 32}).status_code == 403


def test_a_key_needs_no_token(alice, key_of):
    client = Client(enforce_csrf_checks=True)
    assert post(client, Authorization=f"Bearer {key_of(alice)}").status_code == 201


def test_a_form_on_a_page_needs_the_token(browser):
    assert browser.post("/start/", {"config": "crafter_eval_random.toml"}).status_code == 403
    assert browser.post("/logout/").status_code == 403
