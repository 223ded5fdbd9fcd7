"""One process serves what is wanted; only the holder of its token may say anything about it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils.timezone import now

from apps.checkpoints import services
from apps.checkpoints.models import ModelServer, ServedModel
from tests.games import make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def checkpoint(project, announce):
    return announce(make_run(project, "base", model="a/b"))


def _claim():
    server = ModelServer.objects.get()
    return services.claim_server(server_id=server.pk, worker="w")


def test_a_wanted_model_is_claimed_loaded_and_found(checkpoint):
    services.want_model(checkpoint)
    services.want_model(checkpoint)
    claim = _claim()
    assert services.server_ready(claim, address="http://127.0.0.1:4321/")
    [wanted] = services.list_wanted(claim)
    assert (wanted.uid, wanted.loaded) == (checkpoint.uid, False)
    assert services.model_ready(claim, served_id=wanted.served_id)
    assert services.list_wanted(claim)[0].loaded
    server = ModelServer.objects.get()
    assert (server.address, services.secret_of(server)) == ("http://127.0.0.1:4321", claim.secret)
    assert claim.secret not in server.secret


def test_one_of_two_workers_gets_the_server(checkpoint):
    services.want_model(checkpoint)
    assert _claim() is not None
    assert _claim() is None


def test_a_holder_that_was_replaced_can_say_nothing(checkpoint):
    services.want_model(checkpoint)
    late = _claim()
    ModelServer.objects.update(lease_until=now() - timedelta(seconds=1))
    new = _claim()
    assert new is not None
    assert new.token > late.token
    assert not services.renew_server(late)
    assert not services.server_ready(late, address="http://x:1")
    assert services.list_wanted(late) == []
    assert not services.stop_server(late, error="late")
    assert services.renew_server(new)


def test_a_stopped_model_is_not_listed_and_can_be_wanted_again(checkpoint):
    services.want_model(checkpoint)
    claim = _claim()
    services.stop_model(checkpoint)
    assert services.list_wanted(claim) == []
    services.want_model(checkpoint)
    assert len(services.list_wanted(claim)) == 1


def test_a_failed_model_says_why_and_is_tried_again_after_a_while(checkpoint):
    services.want_model(checkpoint)
    claim = _claim()
    [wanted] = services.list_wanted(claim)
    services.model_failed(claim, served_id=wanted.served_id, error="no weights")
    served = services.want_model(checkpoint)
    assert (served.state, served.error) == ("failed", "no weights")
    ServedModel.objects.update(wanted_at=now() - timedelta(seconds=11))
    assert services.want_model(checkpoint).state == "wanted"


def test_an_ended_server_starts_again_at_the_next_wish(checkpoint):
    services.want_model(checkpoint)
    claim = _claim()
    assert services.stop_server(claim)
    assert ServedModel.objects.get().state == "stopped"
    services.want_model(checkpoint)
    assert _claim() is not None


def test_a_worker_that_goes_down_leaves_the_wish(checkpoint):
    services.want_model(checkpoint)
    claim = _claim()
    [wanted] = services.list_wanted(claim)
    services.model_ready(claim, served_id=wanted.served_id)
    services.hand_back_server(claim)
    again = _claim()
    assert [row.loaded for row in services.list_wanted(again)] == [False]


def test_the_tick_takes_a_lost_server_up_again(checkpoint):
    services.want_model(checkpoint)
    _claim()
    ModelServer.objects.update(lease_until=now() - timedelta(seconds=1))
    assert services.requeue_lost_servers() == 1
    assert ModelServer.objects.get().state == "wanted"


def test_a_served_model_is_wanted_again_without_writing(checkpoint, django_assert_num_queries):
    services.want_model(checkpoint)
    claim = _claim()
    services.server_ready(claim, address="http://127.0.0.1:1")
    services.model_ready(claim, served_id=services.list_wanted(claim)[0].served_id)
    with django_assert_num_queries(1):
        assert services.want_model(checkpoint).server.address == "http://127.0.0.1:1"


def test_a_server_that_never_started_says_why_to_who_waits(checkpoint):
    services.want_model(checkpoint)
    services.stop_server(_claim(), error="no module named torch")
    served = services.want_model(checkpoint)
    assert (served.state, served.error) == ("failed", "no module named torch")


def test_a_server_that_crashed_later_starts_again_after_a_pause(checkpoint):
    services.want_model(checkpoint)
    claim = _claim()
    services.server_ready(claim, address="http://127.0.0.1:1")
    services.stop_server(claim, error="killed")
    assert services.want_model(checkpoint).state == "wanted"
    assert ModelServer.objects.get().state == "failed"
    ModelServer.objects.update(started_at=now() - timedelta(seconds=6))
    services.want_model(checkpoint)
    assert _claim() is not None


def test_a_server_at_whose_address_nobody_listens_is_given_to_the_next_worker(checkpoint):
    services.want_model(checkpoint)
    gone = _claim()
    services.server_ready(gone, address="http://127.0.0.1:1")
    services.model_ready(gone, served_id=services.list_wanted(gone)[0].served_id)
    assert not services.report_unreachable("http://127.0.0.1:2")
    assert services.report_unreachable("http://127.0.0.1:1")
    assert not services.report_unreachable("http://127.0.0.1:1")
    assert not services.renew_server(gone)
    assert ServedModel.objects.get().state == "wanted"
    assert _claim() is not None
