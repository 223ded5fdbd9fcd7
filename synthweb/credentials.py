"""`HOME/credentials.env`: the first user and keys, all that a command line needs. Mode 0600.

The file is written first and the database follows it (`manage.py setup_instance`), so that a setup
broken off anywhere is mended by running it again.
"""

from __future__ import annotations

import os
import secrets
import shlex
from pathlib import Path
from typing import NamedTuple

USER = "admin"


class Credentials(NamedTuple):
    url: str
    user: str
    password: str  # "" when people changed it since
    api_key: str
    environment_api_key: str
    task_app_url: str

    def variables(self) -> dict[str, str]:
        """As the names that command lines read."""
        return {
            "SYNTHWEB_URL": self.url,
            "SYNTHWEB_USER": self.user,
            "SYNTHWEB_PASSWORD": self.password,
            "SYNTH_API_KEY": self.api_key,
            "ENVIRONMENT_API_KEY": self.environment_api_key,
            "BACKEND_BASE_URL": f"{self.url}/api",
            "TASK_APP_URL": self.task_app_url,
        }


def path_in(home: Path) -> Path:
    """Where the file of a home lies."""
    return home / "credentials.env"


def read(home: Path) -> dict[str, str]:
    """The variables of the file; empty when there is none."""
    path = path_in(home)
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines() if "=" in line)
    return {name: "".join(shlex.split(value)) for name, _, value in pairs if name[0] != "#"}


def make(
    home: Path, *, url: str, environment_api_key: str, task_app_url: str, fresh: bool
) -> Credentials:
    """Keep user, password and key of an existing file, else invent them; write the file anew.

    Addresses always follow the settings. `fresh`: no such user exists yet, so a password may be
    invented; otherwise an unknown password stays empty.
    """
    old = read(home)
    password = old.get("SYNTHWEB_PASSWORD") or (secrets.token_urlsafe(12) if fresh else "")
    made = Credentials(
        url=url,
        user=old.get("SYNTHWEB_USER") or USER,
        password=password,
        api_key=old.get("SYNTH_API_KEY") or f"sk_sw_{secrets.token_urlsafe(32)}",
        environment_api_key=environment_api_key,
        task_app_url=task_app_url,
    )
    _write(path_in(home), made)
    if fresh:
        (home / "run").mkdir(parents=True, exist_ok=True, mode=0o700)
        (home / "run" / "show-password").touch(mode=0o600)
    return made


def show_once(home: Path) -> Credentials | None:
    """The credentials if nobody has seen them yet; the next call gives None."""
    try:
        (home / "run" / "show-password").unlink()
    except FileNotFoundError:
        return None
    names = read(home)
    return Credentials(
        names["SYNTHWEB_URL"],
        names["SYNTHWEB_USER"],
        names["SYNTHWEB_PASSWORD"],
        names["SYNTH_API_KEY"],
        names["ENVIRONMENT_API_KEY"],
        names["TASK_APP_URL"],
    )


def _write(path: Path, made: Credentials) -> None:
    """Write beside and rename: readers see the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lines = [
        "# Made by `make up`. Use: set -a; . " + shlex.quote(str(path)),
        *(f"{name}={shlex.quote(value)}" for name, value in made.variables().items()),
    ]
    staged = path.with_name(f".credentials.{os.getpid()}")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(lines) + "\n")
    staged.replace(path)
