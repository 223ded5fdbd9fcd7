"""A throw-away Postgres cluster: made in a second, gone with the test session."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.waiting import wait_until

FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "listen_addresses=")


def binaries() -> Path | None:
    """The folder with initdb and postgres of the newest version, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def _as_postgres() -> dict[str, object]:
    """Postgres refuses to run as root: then it runs as its own user."""
    if os.getuid() != 0:
        return {}
    return {"user": "postgres", "group": "postgres", "extra_groups": []}


@contextmanager
def database(kind: str) -> Iterator[dict[str, str]]:
    """The environment of an instance on SQLite, or on a Postgres that runs meanwhile."""
    if kind == "SQLite":
        yield {}
    else:
        with serve() as url:
            yield {"DATABASE_URL": url}


@contextmanager
def serve() -> Iterator[str]:
    """Yield the DATABASE_URL of an empty database. Raises where nothing is installed."""
    tools = binaries()
    if tools is None:
        raise RuntimeError("no Postgres server: apt install postgresql")
    directory = Path(tempfile.mkdtemp(prefix="sw-pg-"))
    if os.getuid() == 0:
        shutil.chown(directory, "postgres", "postgres")
    user = _as_postgres()
    data = directory / "data"
    init = [tools / "initdb", "-A", "trust", "-U", "postgres", "--no-sync", "-D", data]
    subprocess.run(init, check=True, stdout=subprocess.DEVNULL, cwd=directory, **user)  # type: ignore[call-overload]
    options = [part for option in FAST for part in ("-c", option)]
    server = subprocess.Popen(
        [tools / "postgres", "-D", data, "-k", directory, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=directory,
        **user,  # type: ignore[call-overload]
    )
    try:
        create = [tools / "createdb", "-h", directory, "-U", "postgres", "synthweb"]
        wait_until(lambda: _succeeds(create), "the database")
        yield f"postgres://postgres@/synthweb?host={directory}"
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(directory, ignore_errors=True)


def _succeeds(command: list[object]) -> bool:
    done = subprocess.run(command, capture_output=True, check=False)  # type: ignore[call-overload]
    return bool(done.returncode == 0)
