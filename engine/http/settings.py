"""What a task app is told by its environment: keys, addresses that it may call, limits.

| variable | meaning |
|---|---|
| ENVIRONMENT_API_KEY, ENVIRONMENT_API_KEY_ALIASES | what clients must send; aliases: csv |
| SYNTHWEB_ALLOW_HOSTS | host:port pairs inside that an inference_url may name; csv |
| TASK_APP_OWN_URLS | where this app itself is reached (its own proxies may be an inference_url) |
| OPENAI_API_KEY, OPENAI_BASE_URL | upstream of /proxy/v1; key for its origin |
| GROQ_API_KEY, GROQ_BASE_URL | upstream of /proxy/groq; key for its origin |
| SYNTH_API_KEY, BACKEND_BASE_URL | the instance whose models may be played: key for its origin |

An operator's key goes to the origin that the operator set beside it, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.llm.addresses import AddressError, parse_url
from engine.tasks import canonical_name

# name -> (variable of the base URL, its default, variable of the key)
_UPSTREAMS = {
    "openai": ("OPENAI_BASE_URL", "https://api.openai.com/v1", "OPENAI_API_KEY"),
    "groq": ("GROQ_BASE_URL", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "synth": ("BACKEND_BASE_URL", "", "SYNTH_API_KEY"),
}


@dataclass(frozen=True)
class Upstream:
    """A model API that the operator named. `base_url` ends before /chat/completions."""

    name: str
    base_url: str
    key: str

    @property
    def origin(self) -> str:
        return parse_url(self.base_url).origin


@dataclass(frozen=True)
class Limits:
    """What one request may ask for."""

    body_bytes: int = 1 << 20
    ops: int = 100_000
    seconds: float = 3600.0
    turns: int = 1000
    rollouts: int = 256
    """Played at once; further ones are told to come back."""
    environments: int = 512
    environment_idle_s: float = 3600.0


@dataclass(frozen=True)
class HttpSettings:
    """Of one process. tasks: canonical names; the first also answers at the root."""

    tasks: tuple[str, ...]
    keys: tuple[str, ...] = ()
    trace_db: Path | None = None
    upstreams: tuple[Upstream, ...] = ()
    own_urls: tuple[str, ...] = ()
    allow_hosts: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)

    def upstream(self, name: str) -> Upstream | None:
        """The upstream of that name, None where the operator set none."""
        return next((one for one in self.upstreams if one.name == name), None)

    def key_for(self, origin: str) -> tuple[str, str]:
        """(key, whose it is) for an origin; ("", "") for every one the operator did not name."""
        for one in self.upstreams:
            if one.origin == origin:
                return one.key, one.name
        if self.keys and origin in {parse_url(url).origin for url in self.own_urls}:
            return self.keys[0], "task app"
        return "", ""

    def listed(self) -> frozenset[str]:
        """host:port pairs that may lie inside: listed ones, and where the operator's own are."""
        named = (*self.own_urls, *(one.base_url for one in self.upstreams))
        return self.allow_hosts | {parse_url(url).origin.partition("://")[2] for url in named}


def read_settings(
    environment: Mapping[str, str], *, tasks: Sequence[str], trace_db: Path | None
) -> HttpSettings:
    """The settings of a process. Raises ConfigError for an unknown task or an odd address."""
    key = environment.get("ENVIRONMENT_API_KEY", "").strip()
    aliases = _items(environment, "ENVIRONMENT_API_KEY_ALIASES")
    own_urls = tuple(url.rstrip("/") for url in _items(environment, "TASK_APP_OWN_URLS"))
    for url in own_urls:
        parse_url(url)
    return HttpSettings(
        tasks=tuple(dict.fromkeys(canonical_name(name) for name in tasks)),
        keys=tuple(dict.fromkeys([*([key] if key else []), *aliases])),
        trace_db=trace_db,
        upstreams=tuple(_read_upstreams(environment)),
        own_urls=own_urls,
        allow_hosts=frozenset(_items(environment, "SYNTHWEB_ALLOW_HOSTS")),
    )


def _read_upstreams(environment: Mapping[str, str]) -> list[Upstream]:
    """Those that have a key or an address of their own."""
    found = []
    for name, (url_variable, default, key_variable) in _UPSTREAMS.items():
        url = environment.get(url_variable, "").strip().rstrip("/")
        key = environment.get(key_variable, "").strip()
        if not (url or (key and default)):
            continue
        if url and name == "synth":
            url += "/inference/v1"
        try:
            upstream = Upstream(name, url or default, key)
            parse_url(upstream.base_url)
        except AddressError as err:
            raise AddressError(err.code, f"{url_variable}: {err.message}", err.hint) from err
        found.append(upstream)
    return found


def _items(environment: Mapping[str, str], name: str) -> list[str]:
    return [part.strip() for part in environment.get(name, "").split(",") if part.strip()]
