"""Static files: `{% static %}` addresses carry a hash of the content, and an ASGI app serves them.

`/static/app.js?v=<hash>` may be kept for a year; without it (a module imported by another)
the browser asks again and mostly gets 304. No collectstatic, the same with DEBUG on or off.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import time
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, quote

from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.core.exceptions import SuspiciousFileOperation

from synthweb.routes import Receive, Scope, Send

YEAR = "public, max-age=31536000, immutable"
ASK_AGAIN = "public, no-cache"
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".svg": "image/svg+xml"}


class Found(NamedTuple):
    body: bytes
    version: str
    content_type: str


@lru_cache(maxsize=512)
def _load(path: str, mtime_ns: int, size: int) -> Found:
    """Read a file once per change; `mtime_ns` and `size` only key the cache."""
    body = Path(path).read_bytes()
    suffix = Path(path).suffix
    kind = TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
    if kind.startswith("text/") or suffix in (".js", ".svg", ".json"):
        kind += "; charset=utf-8"
    return Found(body, hashlib.sha256(body).hexdigest()[:12], kind)


@lru_cache(maxsize=1024)
def _find(name: str) -> str:
    """The path of a static file; an empty string when there is none or it lies outside."""
    try:
        found = finders.find(name)
    except (SuspiciousFileOperation, ValueError):
        return ""
    return str(found) if found and os.path.isfile(str(found)) else ""


def find_static(name: str) -> Found | None:
    """The file that `/static/name` means, or None. Paths that leave the folders are None too."""
    if "\0" in name or name.startswith("/") or ".." in name.split("/"):
        return None
    path = _find(name)
    if not path:
        _find.cache_clear()  # a file added while we run is found the next time
        return None
    try:
        info = os.stat(path)
    except FileNotFoundError:
        _find.cache_clear()
        return None
    return _load(path, info.st_mtime_ns, info.st_size)


class VersionedStorage(StaticFilesStorage):
    """Gives addresses with the content's hash: `/static/app.css?v=3fa1…`."""

    def url(self, name: str | None) -> str:
        return _address(str(self.base_url), name or "", int(time.monotonic()))


@lru_cache(maxsize=256)
def _address(base_url: str, name: str, second: int) -> str:
    """A page names twenty files: each is looked at once a second (`second` keys the cache)."""
    found = find_static(name)
    address = f"{base_url}{quote(name)}"
    return f"{address}?v={found.version}" if found else address


async def static_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve `/static/…` (GET and HEAD) with ETag and cache headers."""
    name = scope["path"].removeprefix("/static/")
    found = find_static(name) if scope["method"] in ("GET", "HEAD") else None
    if found is None:
        status = 404 if scope["method"] in ("GET", "HEAD") else 405
        await _answer(send, status, [(b"content-type", b"text/plain; charset=utf-8")], b"Not found")
        return
    headers = dict(scope["headers"])
    etag = f'"{found.version}"'.encode()
    asked = parse_qs(scope["query_string"].decode("latin-1")).get("v", [""])[0]
    out = [
        (b"etag", etag),
        (b"cache-control", (YEAR if asked == found.version else ASK_AGAIN).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"content-type", found.content_type.encode()),
    ]
    if headers.get(b"if-none-match") == etag:
        await _answer(send, 304, out[:3], b"")
        return
    body = b"" if scope["method"] == "HEAD" else found.body
    await _answer(send, 200, [*out, (b"content-length", str(len(found.body)).encode())], body)


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
