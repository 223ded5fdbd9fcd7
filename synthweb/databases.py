"""Django's database settings: SQLite as measured, or Postgres by URL.

Four writers with SQLite's deferred BEGIN gave 539-811 "database is locked" errors in 4 s; WAL with
IMMEDIATE transactions gave none. So: no ATOMIC_REQUESTS, no `atomic()` around reads or network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from synthweb.env import SettingError

# A larger page cache and a mapped file make no measurable difference, but each connection (one a
# thread) would hold them: tens of megabytes in the web process.
SQLITE_INIT = "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;PRAGMA journal_size_limit=67108864"

# A process stopped or cut off inside a transaction holds its locks for as long as it stays away,
# and nobody can take over its run (R20). Our transactions last milliseconds and wait for nothing.
POSTGRES_START = "-c idle_in_transaction_session_timeout=15s"


def database_settings(url: str, home: Path) -> dict[str, Any]:
    """Settings for `DATABASE_URL` (`postgres://user:password@host:port/name?sslmode=…`).

    Empty: SQLite at `home/synthweb.sqlite3`. `sqlite:////path` is understood too.
    The host may be a socket's folder as `?host=/path`. Raises SettingError for other schemes.
    """
    parts = urlsplit(url)
    if not url or parts.scheme == "sqlite":
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        return sqlite_settings(Path(parts.path) if parts.path else home / "synthweb.sqlite3")
    if parts.scheme not in ("postgres", "postgresql"):
        raise SettingError(
            f"DATABASE_URL: scheme {parts.scheme!r}; expected postgres://… or sqlite:///…"
        )
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    host = options.pop("host", parts.hostname or "")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 10, "options": POSTGRES_START, **options},
    }


def sqlite_settings(file: Path) -> dict[str, Any]:
    """SQLite for several writing processes: a writer waits up to 20 s for the lock."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": file,
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": SQLITE_INIT,
        },
    }
