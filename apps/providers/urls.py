"""Which addresses this instance may call: the guard of every outgoing request.

Public ones, and those whose host:port was started by `make up` or listed by the operator
(SYNTHWEB_ALLOW_HOSTS); redirects are never followed. The rules themselves are the engine's
(`engine/llm/addresses.py`). Not here: the client that follows them (`guard.py`), which brings httpx
with it, and the providers themselves.
"""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings

from apps.accounts.errors import Refused
from engine.llm import addresses
from engine.llm.addresses import AddressError, UrlParts


class Target(NamedTuple):
    """A checked address: connect to `address`, speak to `host`."""

    origin: str  # scheme://host:port
    host: str
    port: int
    address: str  # an IP address; the one to connect to


def origin_of(url: str) -> str:
    """scheme://host:port, lower case, default port filled in. Raises Refused(422)."""
    return parse_url(url).origin


def parse_url(url: str) -> UrlParts:
    """The parts that decide where a URL leads. Raises Refused(422) for anything unusual."""
    try:
        return addresses.parse_url(url)
    except AddressError as err:
        raise _refused(err, fields={"base_url": err.message}) from err


def check_url(url: str) -> Target:
    """Resolve a URL and refuse it when it leads inside. Blocks on DNS.

    Raises Refused(422) with the reason; see the module for the rules.
    """
    parts = parse_url(url)
    return Target(parts.origin, parts.host, parts.port, check_host(parts.host, parts.port))


def check_host(host: str, port: int) -> str:
    """The address to connect to. Raises Refused(422): unknown name, or an address inside."""
    try:
        return addresses.resolve_host(
            host, port, listed=settings.ALLOW_HOSTS, setting="SYNTHWEB_ALLOW_HOSTS"
        )
    except AddressError as err:
        raise _refused(err) from err


def _refused(err: AddressError, fields: dict[str, str] | None = None) -> Refused:
    return Refused(err.code, err.message, err.hint, status=422, fields=fields or {})
