"""A small OpenAI-compatible model API that answers at once, or misbehaves on command.

In a test (a thread, a free port):

    with OpenAIServer() as server:
        server.script("429:0.1", "ok")          # the next two answers
        server.choose = lambda body: "500" if "Step: 3" in str(body) else None
        ChatClient(server.base_url, "any", key="k")

As a process of its own: `python -m tests.servers.openai_server --port 0 --latency-ms 50
[--script 429:1,500,ok]`, which prints its port. Plain asyncio, so that it costs little beside what
is measured.

| word            | what the server does                                                        |
|-----------------|-----------------------------------------------------------------------------|
| ok, ok:a+b      | one structured tool call with these actions (default: do)                   |
| text:WORDS      | these words as content, no structured call                                  |
| 429[:SECONDS]   | 429 with Retry-After                                                        |
| 500 503 400 401 404 | that status with a JSON error                                           |
| echo, echo:200  | 401, or an answer, whose words repeat the key that was sent                 |
| redirect        | 302 to another path                                                         |
| hang            | never answers                                                               |
| stall           | headers and half a body, then silence                                       |
| drip            | a byte now and then, for ever                                               |
| close, goodbye  | closes the connection without an answer, or right after a good one          |
| truncated       | 200 with half a JSON                                                        |
| schema empty html | 200 with JSON of another shape, an empty body, an HTML page               |
| huge[:BYTES]    | 200 with a 10 MB answer                                                     |
| refusal         | a message with `refusal`                                                    |
| no_call two_calls unknown_tool bad_json bad_args | replies that are no usable call            |
| unknown_action no_actions many_actions           | calls that the task must refuse            |
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.servers.raw_http import RawServer, send

Body = dict[str, Any]


class OpenAIServer(RawServer):
    """See the module. `requests` holds every body in order, `times` when it came (monotonic)."""

    def __init__(
        self, *, latency_s: float = 0.0, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(port, tls)
        self.latency_s = latency_s
        self.default = "ok"
        self.choose: Callable[[Body], str | None] = lambda body: None
        self.requests: list[Body] = []
        self.keys: list[str] = []
        self.times: list[float] = []
        self._script: deque[str] = deque()

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"

    def script(self, *words: str) -> None:
        """What the next requests get, one word each; afterwards `choose`, then `default`."""
        self._script.extend(words)

    async def reply(
        self, path: str, headers: dict[str, str], raw: bytes, writer: asyncio.StreamWriter
    ) -> bool:
        del path
        body = json.loads(raw or b"{}")
        self.requests.append(body)
        self.keys.append(headers.get("authorization", ""))
        self.times.append(time.monotonic())
        with self.counted():
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            word = self._script.popleft() if self._script else self.choose(body) or self.default
            return await self._misbehave(word, body, writer)

    async def _misbehave(self, word: str, body: Body, writer: asyncio.StreamWriter) -> bool:
        name, _, value = word.partition(":")
        if name == "close":
            return False
        if name == "goodbye":  # a good answer, then the connection is closed without a word
            await send(writer, 200, _answer("ok", "", body))
            return False
        if name in ("hang", "stall", "drip"):
            await _starve(name, writer)
            return False
        if name == "429":
            wait = f"Retry-After: {value}\r\n" if value else ""
            return await send(writer, 429, b'{"error": {"message": "slow down"}}', wait)
        if name == "echo":
            said = f"Incorrect API key provided: {self.keys[-1]}"
            if value == "200":
                answer = completion(body, content=said)
                return await send(writer, 200, json.dumps(answer).encode())
            return await send(writer, 401, json.dumps({"error": {"message": said}}).encode())
        if name == "redirect":
            return await send(writer, 302, b"", "Location: /v1/elsewhere\r\n")
        if name.isdigit():
            return await send(writer, int(name), b'{"error": {"message": "scripted"}}')
        return await send(writer, 200, _answer(name, value, body))


async def _starve(name: str, writer: asyncio.StreamWriter) -> None:
    """Keep the client waiting until it hangs up."""
    if name != "hang":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        writer.write(b'Content-Length: 100000\r\n\r\n{"choices": [')
    while not writer.is_closing():
        if name == "drip":
            writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)
        if name == "hang" and writer.transport.get_write_buffer_size():
            return


def _answer(name: str, value: str, body: Body) -> bytes:
    """The bytes of a 200 answer."""
    good = completion(body, calls=[tool_call(body, value.split("+") if value else ["do"])])
    raw = json.dumps(good).encode()
    bodies: dict[str, Callable[[], bytes]] = {
        "truncated": lambda: raw[: len(raw) // 2],
        "schema": lambda: b'{"answer": 42}',
        "empty": lambda: b"",
        "html": lambda: b"<html>Bad gateway</html>",
        "huge": lambda: json.dumps(
            completion(body, content="x" * int(value or 10_000_000))
        ).encode(),
        "text": lambda: json.dumps(completion(body, content=value)).encode(),
        "no_call": lambda: json.dumps(completion(body, content="I would rather chat.")).encode(),
        "refusal": lambda: json.dumps(completion(body, refusal="I cannot play games.")).encode(),
    }
    if name in bodies:
        return bodies[name]()
    return json.dumps(completion(body, calls=_calls(name, body))).encode() if name != "ok" else raw


def _calls(name: str, body: Body) -> list[dict[str, Any]]:
    calls = {
        "two_calls": lambda: [tool_call(body, ["do"]), tool_call(body, ["do"])],
        "unknown_tool": lambda: [_function("fly", '{"actions": ["do"]}')],
        "bad_json": lambda: [_function(_tool_name(body), '{"actions": ["do"')],
        "bad_args": lambda: [_function(_tool_name(body), '{"actions": "do"}')],
        "unknown_action": lambda: [tool_call(body, ["do", "teleport"])],
        "no_actions": lambda: [tool_call(body, [])],
        "many_actions": lambda: [tool_call(body, ["do"] * 200)],
    }
    return calls[name]()


def completion(
    body: Body,
    *,
    content: str | None = None,
    calls: list[dict[str, Any]] | None = None,
    refusal: str | None = None,
) -> dict[str, Any]:
    """A chat completion as OpenAI words it."""
    message = {"role": "assistant", "content": content, "refusal": refusal, "tool_calls": calls}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": body.get("model", ""),
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if calls else "stop",
            }
        ],
        "usage": {"prompt_tokens": 120, "completion_tokens": 7, "total_tokens": 127},
    }


def tool_call(body: Body, actions: list[str]) -> dict[str, Any]:
    """A call of the request's first tool, with `actions` in its first required parameter."""
    tools = body.get("tools") or []
    parameters = tools[0]["function"]["parameters"] if tools else {"required": ["actions"]}
    name = (parameters.get("required") or ["actions"])[0]
    kind = parameters.get("properties", {}).get(name, {}).get("type", "array")
    value: Any = actions if kind == "array" else " ".join(actions)
    return _function(_tool_name(body), json.dumps({name: value}))


def _tool_name(body: Body) -> str:
    tools = body.get("tools") or []
    return str(tools[0]["function"]["name"]) if tools else "interact_many"


def _function(name: str, arguments: str) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--script", default="", help="comma-separated words for the first requests")
    parser.add_argument("--default", default="ok", help="word for all further requests")
    args = parser.parse_args()
    server = OpenAIServer(latency_s=args.latency_ms / 1000, port=args.port)
    server.default = args.default
    server.script(*(word for word in args.script.split(",") if word))
    asyncio.run(server.serve(announce=True))


if __name__ == "__main__":
    main()
