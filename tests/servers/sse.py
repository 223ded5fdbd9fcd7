"""A client of server-sent events that tests can ask and cut."""

from __future__ import annotations

import json
import threading
from typing import Any, NamedTuple

import httpx

from tests.servers.waiting import wait_until


class Message(NamedTuple):
    name: str  # "message" when the stream names none
    id: str
    data: Any


class Listener:
    """Reads a stream in a thread; `messages` grows, `status` is the answer's."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        self.messages: list[Message] = []
        self.status = 0
        self.ended = threading.Event()
        self._client = httpx.Client(timeout=httpx.Timeout(10, read=60))
        self._url, self._headers = url, {"Accept": "text/event-stream", **(headers or {})}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        wait_until(lambda: self.status or self.ended.is_set(), "the stream's answer")

    def _read(self) -> None:
        try:
            with self._client.stream("GET", self._url, headers=self._headers) as answer:
                self.status = answer.status_code
                self._parse(answer)
        except (httpx.HTTPError, RuntimeError):
            pass
        finally:
            self.ended.set()

    def _parse(self, answer: httpx.Response) -> None:
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                data = json.loads(fields["data"])
                self.messages.append(
                    Message(fields.get("event", "message"), fields.get("id", ""), data)
                )
                fields = {}

    def named(self, name: str) -> list[Message]:
        return [message for message in self.messages if message.name == name]

    def close(self) -> None:
        self._client.close()
