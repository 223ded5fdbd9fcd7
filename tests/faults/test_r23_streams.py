"""R23: a stream is lost, the server restarted; the page catches up without a gap or a double."""

from __future__ import annotations

import threading

import pytest

from apps.runs import services
from tests.servers import web
from tests.servers.instance import free_port
from tests.servers.sse import Listener
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def test_r23_a_client_of_a_restarted_server_misses_nothing(broker, make_run, alice, key_of):
    run, key, port = make_run(queued=False), key_of(alice), free_port()
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.01):
            services.add_event(run, "log", {"level": "info", "message": "tick"})

    writer = threading.Thread(target=write)
    writer.start()
    got: list[int] = []
    try:
        for _ in range(3):
            with web.serve(port) as server:
                headers = {"Authorization": f"Bearer {key}"}
                if got:
                    headers["Last-Event-ID"] = str(got[-1])
                client = Listener(f"{server.url}/api/v1/runs/{run.pk}/events", headers)
                wait_until(lambda client=client: len(client.messages) > 20, "twenty events")
            assert client.ended.wait(5)
            got += [int(message.id) for message in client.messages]
    finally:
        stop.set()
        writer.join()
    assert got == list(range(1, got[-1] + 1))
