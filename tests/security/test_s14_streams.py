"""S14: an event stream ends with the right to read it: logged out, taken out, another password."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.test import Client

from apps.accounts import people
from apps.accounts.queries import actor_of_session
from synthweb.streams import app
from tests.conftest import PASSWORD
from tests.games import make_run
from tests.servers import web
from tests.servers.sse import Listener

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def listen(broker, project, monkeypatch):
    """Opens the streams of a private run as a browser does: `listen(client)`."""
    monkeypatch.setattr(app, "RECHECK_S", 0.1)
    run = make_run(project)
    with web.serve() as server:

        def open_stream(client: Client) -> Listener:
            name = settings.SESSION_COOKIE_NAME
            url = f"{server.url}/stream/?topic=run:{run.pk}&topic=live:{run.pk}"
            return Listener(url, {"Cookie": f"{name}={client.cookies[name].value}"})

        yield open_stream


def test_s14_a_stream_is_closed_on_logout(listen, bob, client_of):
    browser, other = client_of(bob), client_of(bob)
    stream, stays = listen(browser), listen(other)
    assert stream.status == 200
    browser.post("/logout/")
    assert stream.ended.wait(5)
    assert not stays.ended.wait(0.5)
    stays.close()


def test_s14_a_member_taken_out_hears_nothing_more_though_logged_in(
    listen, actor, project, mallory, client_of
):
    people.invite_member(actor=actor, username="mallory", role="viewer")
    browser = client_of(mallory)
    browser.post("/settings/projects/switch/", {"project": project.pk})
    stream = listen(browser)
    assert stream.status == 200
    people.remove_member(actor=actor, member=project.membership_set.get(user=mallory))
    assert stream.ended.wait(5)
    assert listen(browser).status == 404


def test_s14_looking_at_another_project_in_another_tab_ends_nothing(
    listen, actor, project, mallory, client_of
):
    people.invite_member(actor=actor, username="mallory", role="viewer")
    browser = client_of(mallory)
    browser.post("/settings/projects/switch/", {"project": project.pk})
    stream = listen(browser)
    elsewhere = mallory.projects.exclude(pk=project.pk).get()
    browser.post("/settings/projects/switch/", {"project": elsewhere.pk})
    assert not stream.ended.wait(0.5)
    stream.close()


def test_s14_a_new_password_ends_the_streams_of_other_browsers(listen, bob, project, client_of):
    stream = listen(client_of(bob))
    actor = actor_of_session(bob, project.pk)
    people.change_password(actor=actor, old=PASSWORD, new="a better horse battery")
    assert stream.ended.wait(5)
