"""From an address and headers to where a POST connects and how its head reads."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from engine.errors import ConfigError
from engine.llm.transport import Origin


def read_target(
    url: str, *, address: str, headers: Mapping[str, str], what: str
) -> tuple[Origin, bytes]:
    """(where to connect, the request's head up to its length).

    address: the checked address, called in the place of the host, whose name is still told.
    what: in words what is there. Raises ConfigError for a URL or a header that cannot be sent.
    """
    try:
        parts = urlsplit(url)
        name = (parts.hostname or "").encode("idna").decode()
        port = parts.port
    except ValueError as err:
        raise ConfigError(f"{url!r} is no address of a {what}: {err}.") from err
    if parts.scheme not in ("http", "https") or not name:
        raise ConfigError(f"{url!r} is no address of a {what}; it begins with http(s)://.")
    shown = f"[{name}]" if ":" in name else name
    all_headers = {
        "Host": f"{shown}:{port}" if port else shown,
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        "User-Agent": "synthweb",
        **headers,
    }
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~-._") + (
        f"?{parts.query}" if parts.query else ""
    )
    lines = (f"POST {path} HTTP/1.1", *(f"{n}: {value}" for n, value in all_headers.items()))
    if not all(line.isascii() and line.isprintable() for line in lines):
        raise ConfigError(f"The URL or the key of the {what} holds a character that no call takes.")
    tls = parts.scheme == "https"
    origin = Origin(address or name, port or (443 if tls else 80), name if tls else "")
    return origin, "\r\n".join((*lines, "Content-Length: ")).encode()
