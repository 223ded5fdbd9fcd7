"""A model hub on this machine, as huggingface_hub asks it: a listing, and files of one commit."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serve_hub(models: Mapping[str, Path]) -> Iterator[str]:
    """Serve folders under their ids; yields what HF_ENDPOINT should be."""
    handler = type("Handler", (_Handler,), {"models": models})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    models: Mapping[str, Path]

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        for model, folder in self.models.items():
            if path.startswith(f"api/models/{model}"):
                return self._send(json.dumps(_listing(model, folder)).encode(), "json")
            head = f"{model}/resolve/{COMMIT}/"
            if path.startswith(head) and (folder / path.removeprefix(head)).is_file():
                return self._send((folder / path.removeprefix(head)).read_bytes(), "file")
        self._send(b'{"error": "Repository not found"}', "json", 404)

    do_HEAD = do_GET

    def _send(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if kind == "json" else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        del format, args


def _listing(model: str, folder: Path) -> dict[str, object]:
    files = [
        {"rfilename": path.name, "size": path.stat().st_size} for path in sorted(folder.iterdir())
    ]
    return {"id": model, "_id": "x", "sha": COMMIT, "siblings": files, "private": False, "tags": [],
            "downloads": 0, "likes": 0}  # fmt: skip
