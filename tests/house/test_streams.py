import threading
import time

import httpx
import pytest
from django.utils.timezone import now

from apps.runs import services
from apps.runs.models import LiveView, Run
from synthweb import bell
from synthweb.streams import rows, topics
from synthweb.streams.hub import MAX_WAITING, Subscription
from synthweb.streams.rows import Item
from tests.servers import web
from tests.servers.sse import Listener
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def say(run, n):
    return [services.add_event(run, "log", {"level": "info", "message": str(i)}) for i in range(n)]


def seqs(listener, name="run"):
    return [message.data["seq"] for message in listener.named(name)]


def test_an_event_reaches_an_open_page_at_once(server, make_run, alice, cookie_of):
    run = make_run()
    page = Listener(f"{server.url}/stream/?topic=run:{run.pk}", cookie_of(alice))
    say(run, 1)
    wait_until(lambda: page.messages, "the first event: from now on the doorbell is heard")
    began = time.monotonic()
    seq = say(run, 1)[0]
    wait_until(lambda: len(page.messages) == 2, "the event")
    assert time.monotonic() - began < 0.8  # the poll without a doorbell takes 1 s
    message = page.messages[1]
    assert message.name == "run"
    assert message.id == f"{run.pk}:{seq}"
    assert message.data["run_id"] == run.pk
    assert message.data["data"]["message"] == "0"


def test_a_page_that_comes_back_gets_what_it_missed_and_nothing_twice(
    server, make_run, alice, cookie_of
):
    run = make_run()
    first = Listener(f"{server.url}/stream/?topic=run:{run.pk}:0", cookie_of(alice))
    sent = say(run, 5)
    wait_until(lambda: len(seqs(first)) >= sent[-1], "five events")
    first.close()
    sent += say(run, 3)
    again = Listener(
        f"{server.url}/stream/?topic=run:{run.pk}:0",
        {**cookie_of(alice), "Last-Event-ID": f"{run.pk}:{sent[4]}"},
    )
    sent += say(run, 2)
    wait_until(lambda: len(seqs(again)) >= 5, "the missed and the new events")
    assert seqs(again) == sent[5:]


def test_no_gap_and_no_double_while_a_writer_writes_and_clients_come_and_go(
    server, make_run, alice, cookie_of
):
    run = make_run()
    headers = cookie_of(alice)
    writer = threading.Thread(target=say, args=(run, 150))
    writer.start()
    got: list[int] = []
    while writer.is_alive() or not got or got[-1] < run_seq(run):
        position = {"Last-Event-ID": f"{run.pk}:{got[-1]}"} if got else {}
        page = Listener(f"{server.url}/stream/?topic=run:{run.pk}:0", {**headers, **position})
        wait_until(lambda page=page: page.messages, "something new")
        page.close()
        got += seqs(page)
    writer.join()
    assert got == list(range(1, run_seq(run) + 1))


def run_seq(run):
    run.refresh_from_db()
    return run.event_seq


def test_programs_follow_a_run_by_key_with_plain_events(server, make_run, alice, key_of):
    run = make_run()
    say(run, 2)
    url = f"{server.url}/api/v1/runs/{run.pk}/events?after=1"
    program = Listener(url, {"Authorization": f"Bearer {key_of(alice)}"})
    say(run, 1)
    wait_until(lambda: len(program.messages) >= 2, "two events")
    assert [(m.name, m.id) for m in program.messages] == [("message", "2"), ("message", "3")]


def test_without_the_broker_the_page_still_hears_within_two_seconds(
    make_run, alice, cookie_of, settings, tmp_path
):
    settings.BROKER_URL = f"unix://{tmp_path}/nobody.sock"
    bell.forget_client()
    run = make_run()
    with web.serve() as server:
        page = Listener(f"{server.url}/stream/?topic=run:{run.pk}&topic=pages", cookie_of(alice))
        say(run, 1)
        wait_until(lambda: page.named("run"), "the event by polling", 3)
        wait_until(lambda: page.named("pages"), "a refresh of everything", 5)
    assert page.named("pages")[0].data == {"changed": ["all"]}


def test_a_change_is_named_to_pages(server, alice, project, cookie_of):
    page = Listener(f"{server.url}/stream/?topic=pages", cookie_of(alice))
    wait_until(lambda: bell.ring_now("pages:runs") and page.named("pages"), "the doorbell")
    wait_until(lambda: any("runs" in m.data["changed"] for m in page.named("pages")), "runs")


def live_view(run, n_views):
    data = {
        "first_step": 0,
        "views": [f"view{i}" for i in range(n_views)],
        "rewards": [0.0] * n_views,
        "unlocks": [["collect_wood", 1]],
        "n_turns": 1,
        "call": "do",
    }
    row, _ = LiveView.objects.update_or_create(
        run=run,
        key='["k"]',
        defaults={
            "shard": run.shards.get(),
            "seed": 7,
            "data": data,
            "version": n_views,
            "updated_at": now(),
        },
    )
    bell.ring_now("live")
    return row


def test_a_running_game_is_told_once_then_only_what_is_new_then_gone(
    server, make_run, alice, cookie_of
):
    run = make_run()
    live_view(run, 3)
    page = Listener(f"{server.url}/stream/?topic=live", cookie_of(alice))
    wait_until(lambda: page.named("live"), "the snapshot")
    assert page.named("live")[0].data["views"] == ["view2"]  # the newest is enough to draw it
    live_view(run, 5).pk  # noqa: B018
    wait_until(lambda: page.named("live")[-1].data["version"] == 5, "the new views")
    assert page.named("live")[-1].data["views"][-2:] == ["view3", "view4"]
    live_view(run, 6)
    wait_until(lambda: page.named("live")[-1].data["version"] == 6, "the newest view")
    assert page.named("live")[-1].data["views"] == ["view5"]
    assert page.named("live")[-1].data["first_step"] == 5
    assert page.named("live")[-1].data["unlocks"] == []  # told before
    assert page.named("live")[-1].data["unlocked"] == ["collect_wood"]  # for who comes in late
    LiveView.objects.all().delete()
    bell.ring_now("live")
    wait_until(lambda: page.named("live")[-1].data.get("gone"), "the end of the game")


def test_a_stranger_gets_no_stream_of_a_run(server, make_run, mallory, bob, cookie_of):
    run = make_run()
    for topic in (f"run:{run.pk}", f"live:{run.pk}"):
        url = f"{server.url}/stream/?topic={topic}"
        assert httpx.get(url, headers=cookie_of(mallory)).status_code == 404
        assert httpx.get(url).status_code == 401
        reader = Listener(url, cookie_of(bob))
        assert reader.status == 200
        reader.close()


def test_a_stranger_sees_no_live_game_of_another_project(server, make_run, mallory, cookie_of):
    run = make_run()
    page = Listener(f"{server.url}/stream/?topic=live&topic=pages", cookie_of(mallory))
    live_view(run, 2)
    wait_until(lambda: bell.ring_now("pages:runs") and page.named("pages"), "the doorbell")
    assert page.named("live") == []


def test_a_bad_topic_is_refused_in_words(server, alice, project, cookie_of):
    answer = httpx.get(f"{server.url}/stream/?topic=run:x", headers=cookie_of(alice))
    assert answer.status_code == 422
    assert "run:ID" in answer.json()["error"]["message"]


def test_streams_are_refused_on_a_foreign_host_name(server, alice, project, cookie_of):
    headers = {**cookie_of(alice), "Host": "evil.example"}
    assert httpx.get(f"{server.url}/stream/?topic=pages", headers=headers).status_code == 400


def test_open_streams_do_not_hold_the_web_up_when_it_stops(broker, alice, project, cookie_of):
    with web.serve() as server:
        pages = [Listener(f"{server.url}/stream/?topic=pages", cookie_of(alice)) for _ in range(5)]
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 3
        assert all(page.ended.wait(2) for page in pages)


def test_a_client_that_never_reads_is_dropped_not_buffered_for_ever():
    slow = Subscription(topics.Topics(project_id=1, pages=True))
    for number in range(MAX_WAITING + 5):
        slow.offer(Item("pages", "{}", number=number))
    assert slow.ended == "slow"


def test_positions_travel_in_the_event_id():
    assert topics.parse_position("31:120,32:7,x,4:") == {31: 120, 32: 7}
    assert topics.format_position({32: 7, 31: 120}) == "31:120,32:7"


def test_streams_go_on_after_a_read_that_failed(server, make_run, alice, cookie_of, monkeypatch):
    run = make_run()
    page = Listener(f"{server.url}/stream/?topic=run:{run.pk}", cookie_of(alice))
    earlier = say(run, 1)
    wait_until(lambda: seqs(page) == earlier, "the first event")  # the page has caught up
    read, failed = rows.events_after, threading.Event()

    def deleted_between_two_reads(*args, **kwargs):
        if not failed.is_set():
            failed.set()
            raise Run.DoesNotExist
        return read(*args, **kwargs)

    monkeypatch.setattr(rows, "events_after", deleted_between_two_reads)
    sent = earlier + say(run, 1)
    wait_until(lambda: seqs(page) == sent, "the event")
    assert failed.is_set()
