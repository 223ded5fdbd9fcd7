"""Which addresses this instance may call: the guard of every outgoing request.

http and https only; a name is resolved and every address it has must be public, unless its
host:port was started by `make up` or listed by the operator (SYNTHWEB_ALLOW_HOSTS). The connection
goes to the very address that was checked, so a name that changes its mind (DNS rebinding) reaches
nothing; redirects are never followed. Not here: the client that does so (`guard.py`), which brings
httpx with it, and the providers themselves.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import NamedTuple
from urllib.parse import urlsplit

from django.conf import settings

from apps.accounts.errors import Refused

_PORTS = {"http": 80, "https": 443}


class Target(NamedTuple):
    """A checked address: connect to `address`, speak to `host`."""

    origin: str  # scheme://host:port
    host: str
    port: int
    address: str  # an IP address; the one to connect to


class UrlParts(NamedTuple):
    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def origin_of(url: str) -> str:
    """scheme://host:port, lower case, default port filled in. Raises Refused(422)."""
    return parse_url(url).origin


def parse_url(url: str) -> UrlParts:
    """The parts that decide where a URL leads. Raises Refused(422) for anything unusual."""
    if any(ord(c) <= 32 or c == "\\" for c in url):
        raise _bad(url, "it holds a space, a control character or a backslash")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as err:
        raise _bad(url, str(err)) from err
    if parts.scheme not in _PORTS:
        raise _bad(url, "only http:// and https:// are called")
    if not host or parts.username is not None or parts.password is not None:
        raise _bad(url, "it has no host, or a user name in it")
    return UrlParts(parts.scheme, host.lower().rstrip("."), port or _PORTS[parts.scheme])


def check_url(url: str) -> Target:
    """Resolve a URL and refuse it when it leads inside. Blocks on DNS.

    Raises Refused(422) with the reason; see the module for the rules.
    """
    parts = parse_url(url)
    return Target(parts.origin, parts.host, parts.port, check_host(parts.host, parts.port))


def check_host(host: str, port: int) -> str:
    """The address to connect to. Raises Refused(422): unknown name, or an address inside."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as err:
        raise Refused(
            "unknown_host", f"{host} cannot be resolved: {err}", "Check the name.", status=422
        ) from err
    addresses = list(dict.fromkeys(str(row[4][0]) for row in found))
    if not _listed(host, port):
        for address in addresses:
            if not is_public(address):
                raise Refused(
                    "private_address",
                    f"{host}:{port} leads to {address}, which is not a public address.",
                    "The operator may allow it: add "
                    f"{host}:{port} to SYNTHWEB_ALLOW_HOSTS and restart.",
                    status=422,
                )
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an IP address is out on the internet; IPv4 wrapped in IPv6 counts as itself."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _listed(host: str, port: int) -> bool:
    """Whether the operator or `make up` named exactly this host:port."""
    name = f"[{host}]" if ":" in host else host
    return f"{name}:{port}" in {entry.lower() for entry in settings.ALLOW_HOSTS}


def _bad(url: str, why: str) -> Refused:
    return Refused(
        "bad_url", f"{url[:200]!r} cannot be called: {why}.", status=422, fields={"base_url": why}
    )
