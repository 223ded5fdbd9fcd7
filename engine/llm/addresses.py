"""Which addresses may be called: the rules of every outgoing request that names a host itself.

http and https only; a name is resolved and every address it has must be public, unless its
host:port is on the list that the caller gives. The connection goes to the very address that was
checked, so a name that changes its mind (DNS rebinding) reaches nothing. Not here: who is listed
(`apps/providers/urls.py`, `engine/http/settings.py`).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

from engine.errors import ConfigError

_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class AddressError(ConfigError):
    """An address that is not called. code: bad_url, unknown_host, private_address."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint, code=code)


class UrlParts(NamedTuple):
    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> str:
        """scheme://host:port, lower case, the default port filled in."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_url(url: str) -> UrlParts:
    """The parts that decide where a URL leads. Raises AddressError for anything unusual."""
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


def resolve_host(host: str, port: int, *, listed: Iterable[str], setting: str) -> str:
    """The address to connect to. Raises AddressError: unknown name, or an address inside.

    listed: host:port pairs that may lie inside. setting: what the operator adds one to.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as err:
        raise AddressError(
            "unknown_host", f"{host} cannot be resolved: {err}", "Check the name."
        ) from err
    addresses = list(dict.fromkeys(str(row[4][0]) for row in found))
    if not _is_listed(host, port, listed):
        for address in addresses:
            if not is_public(address):
                raise AddressError(
                    "private_address",
                    f"{host}:{port} leads to {address}, which is not a public address.",
                    f"The operator may allow it: add {host}:{port} to {setting} and restart.",
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


def _is_listed(host: str, port: int, listed: Iterable[str]) -> bool:
    """Whether exactly this host:port is on the list."""
    name = f"[{host}]" if ":" in host else host
    return f"{name}:{port}" in {entry.lower() for entry in listed}


def _bad(url: str, why: str) -> AddressError:
    return AddressError("bad_url", f"{url[:200]!r} cannot be called: {why}.")
