"""Webhooks against a receiver that misbehaves: signed, tried again, never in the tick's way."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from datetime import timedelta

import pytest
from django.utils.timezone import now

from apps.accounts.errors import Refused
from apps.launch.models import Delivery, Pipeline, Webhook
from apps.launch.services import webhooks
from apps.runs.models import Run
from apps.runs.services import store_config
from apps.worker.tick import LONG, tick
from tests.games import make_run
from tests.servers.hook_server import HookServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def listed(settings):
    """Lets a server of this machine be called, as an operator would."""

    def allow(server: HookServer) -> HookServer:
        settings.ALLOW_HOSTS = [*settings.ALLOW_HOSTS, f"127.0.0.1:{server.port}"]
        return server

    return allow


def end(run: Run, state: str = "succeeded") -> None:
    Run.objects.filter(pk=run.pk).update(state=state, ended_at=now())


def make_due() -> None:
    """The back-off is over."""
    rows = Delivery.objects.exclude(next_try_at=None)
    rows.update(next_try_at=now() - timedelta(seconds=1))


def test_the_end_of_a_run_and_a_pipeline_is_told_once_and_signed(listed, actor, project):
    make_run(project, name="before the hook")
    end(Run.objects.get())
    with HookServer() as server:
        made = webhooks.create_webhook(actor=actor, url=listed(server).url)
        end(run := make_run(project, name="a run"), "failed")
        config = store_config(
            project=project, user=actor.user, name="loop", kind="eval", toml="", data={}
        )
        Pipeline.objects.create(
            project=project, name="loop", config=config, state="succeeded", ended_at=now()
        )
        for _ in range(2):
            webhooks.notice_ended()
            webhooks.send_due()
        bodies = {json.loads(one.body)["event"]: one for one in server.heard}
        assert len(server.heard) == 2
        told = bodies["run.failed"]
        assert json.loads(told.body)["run"]["id"] == run.pk
        assert "pipeline.succeeded" in bodies
        stamp, given = (p.split("=")[1] for p in told.headers["X-Synthweb-Signature"].split(","))
        wanted = hmac.new(made.secret.encode(), f"{stamp}.".encode() + told.body, hashlib.sha256)
        assert given == wanted.hexdigest()
        assert made.secret not in str(list(Webhook.objects.values()))


def test_a_resumed_run_that_ends_again_is_told_again(listed, actor, project):
    with HookServer() as server:
        webhooks.create_webhook(actor=actor, url=listed(server).url)
        end(run := make_run(project), "cancelled")
        webhooks.notice_ended()
        end(run)
        webhooks.notice_ended()
        webhooks.send_due()
        assert {json.loads(one.body)["event"] for one in server.heard} == {
            "run.cancelled", "run.succeeded",
        }  # fmt: skip


def test_a_failed_try_is_repeated_later_and_given_up_after_five(listed, actor, project):
    with HookServer("500", "close", "redirect", "500", "500") as server:
        webhooks.create_webhook(actor=actor, url=listed(server).url)
        end(make_run(project))
        webhooks.notice_ended()
        seen = []
        for _ in range(7):
            webhooks.send_due()
            webhooks.send_due()  # nothing is due so soon
            row = Delivery.objects.get()
            seen.append((row.n_tries, row.status))
            make_due()
        assert seen == [(1, 500), (2, 0), (3, 302), (4, 500), (5, 500), (5, 500), (5, 500)]
        assert len(server.heard) == 5
        assert {one.path for one in server.heard} == {"/hook"}
        assert (row.ok, row.next_try_at) == (False, None)


def test_an_answer_after_a_failure_ends_the_tries(listed, actor, project):
    with HookServer("500", "huge") as server:
        webhooks.create_webhook(actor=actor, url=listed(server).url)
        end(make_run(project))
        webhooks.notice_ended()
        for _ in range(3):
            webhooks.send_due()
            make_due()
        row = Delivery.objects.get()
        assert (row.n_tries, row.ok, row.status, len(row.answer)) == (2, True, 200, 300)


def test_a_server_that_hangs_holds_no_tick_up(listed, actor, project):
    with HookServer("hang") as server:
        webhooks.create_webhook(actor=actor, url=listed(server).url)
        end(make_run(project))
        assert "told" in LONG  # sent by a thread of its own
        began = time.monotonic()
        done = tick(without=LONG)
        assert time.monotonic() - began < 5
        assert done["noticed"] == 1
        assert server.heard == []


def test_a_hanging_server_is_left_after_the_timeout_and_its_neighbours_are_told(
    listed, actor, project, monkeypatch
):
    monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.5)
    with HookServer("hang") as slow, HookServer() as good:
        for server in (slow, good):
            webhooks.create_webhook(actor=actor, url=listed(server).url)
        end(make_run(project))
        webhooks.notice_ended()
        began = time.monotonic()
        assert webhooks.send_due() == 2
        assert time.monotonic() - began < 5
        answers = dict(Delivery.objects.values_list("webhook__url", "answer"))
        assert "No answer within" in answers[slow.url]
        assert answers[good.url] == "heard you"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/x", "http://169.254.169.254/x", "file:///etc/passwd", "x", ""]
)
def test_an_address_inside_is_refused(actor, url):
    with pytest.raises(Refused):
        webhooks.create_webhook(actor=actor, url=url)
    assert Webhook.objects.count() == 0


def test_an_address_that_is_listed_no_more_is_not_called(listed, actor, project, settings):
    with HookServer() as server:
        made = webhooks.create_webhook(actor=actor, url=listed(server).url)
        settings.ALLOW_HOSTS = []
        told = webhooks.test_webhook(actor=actor, webhook=made.webhook)
        assert (told.ok, told.next_try_at, server.heard) == (False, None, [])
        assert "SYNTHWEB_ALLOW_HOSTS" in told.answer


def test_an_admin_adds_tests_and_removes_one_in_the_browser(listed, alice, project, bob, client_of):
    with HookServer() as server:
        browser, where = client_of(alice), "/settings/webhooks/"
        shown = browser.post(where, {"url": listed(server).url}).content.decode()
        assert "whsec_" in shown
        assert "whsec_" not in browser.get(where).content.decode()
        hook = Webhook.objects.get()
        browser.post(f"{where}{hook.pk}/test/")
        assert json.loads(server.heard[0].body)["event"] == "test"
        assert "heard you" in browser.get(where).content.decode()
        assert client_of(bob).get(where).status_code == 403
        browser.post(f"{where}{hook.pk}/delete/")
        assert Webhook.objects.count() == 0
