"""A small receiver of webhooks that answers at once, or misbehaves on command.

    with HookServer("500", "ok") as server:     # the next two answers; later ones are ok

Words: ok, 500, redirect, hang (until the server stops), close (no answer), huge (10 MB).
"""

from __future__ import annotations

import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self


class Heard(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


class HookServer:
    """`url port heard`: every POST in the order in which it came."""

    def __init__(self, *script: str) -> None:
        self.heard: list[Heard] = []
        self.script = deque(script)
        self._stopped = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                owner.heard.append(Heard(self.path, dict(self.headers), self.rfile.read(length)))
                owner._answer(self, owner.script.popleft() if owner.script else "ok")

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"

    def _answer(self, handler: BaseHTTPRequestHandler, word: str) -> None:
        if word == "hang":
            self._stopped.wait(60)
        if word in ("hang", "close"):
            handler.close_connection = True
            return
        status = {"500": 500, "redirect": 302}.get(word, 200)
        body = b"x" * 10_000_000 if word == "huge" else b"heard you"
        handler.send_response(status)
        if word == "redirect":
            handler.send_header("Location", "/elsewhere")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        try:
            handler.wfile.write(body)
        except OSError:  # who called has read enough
            handler.close_connection = True

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
