"""What the buttons of a page do, as commands for a terminal: curl, `manage.py` or TOML.

`work.py` has the pages of runs, games, data and models, `settings.py` those of the settings;
`templatetags/terminal.py` draws them. Here: how a command is written so that a shell takes it as it
stands, whatever a name holds.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from apps.accounts.models import Role

KEY = '-H "X-API-Key: $SYNTH_API_KEY"'
JSON = '-H "Content-Type: application/json"'
TOML = '-H "Content-Type: application/toml"'


class Command(NamedTuple):
    """`text` does what `says` tells, in words of our own; `role` is who may do it."""

    says: str
    text: str
    role: Role = Role.VIEWER


def fetch(says: str, path: str, query: Mapping[str, Any] | None = None, more: str = "") -> Command:
    """Read something; `more` stands behind, such as `-o FILE`."""
    return Command(says, f"curl {KEY} {_url(path, query)}{more and ' '}{more}")


def send(
    says: str, method: str, path: str, body: Any = None, *, role: Role = Role.EDITOR
) -> Command:
    """Change something; `body` goes as JSON."""
    data = "" if body is None else f" {JSON} \\\n  -d {shlex.quote(json.dumps(body))}"
    return Command(says, f"curl -X {method} {KEY}{data} {_url(path)}", role)


def send_toml(says: str, file: str, path: str) -> Command:
    """Send a config as it stands in a file."""
    name = shlex.quote(f"@{file}")
    return Command(says, f"curl {KEY} {TOML} --data-binary {name} {_url(path)}", Role.EDITOR)


def send_file(says: str, file: str, path: str) -> Command:
    """Upload a file."""
    return Command(says, f"curl {KEY} -F file=@{file} {_url(path)}", Role.EDITOR)


def manage(says: str, *words: str, role: Role = Role.EDITOR) -> Command:
    """A command of the server's own shell."""
    return Command(says, f"python manage.py {shlex.join(words)}", role)


def as_toml(says: str, file: str, values: Mapping[str, Any]) -> Command:
    """Write a config to a file and launch it."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if value != ""]
    launch = f"python manage.py import_config {file} --launch"
    return Command(says, "\n".join([f"cat > {file} <<'END'", *lines, "END", launch]), Role.EDITOR)


def part(value: str) -> str:
    """A word as one part of a path."""
    return quote(value, safe="")


def _url(path: str, query: Mapping[str, Any] | None = None) -> str:
    kept = {key: value for key, value in (query or {}).items() if value not in (None, "", [])}
    return f'"$SYNTHWEB_URL/api/v1{path}{"?" if kept else ""}{urlencode(kept, doseq=True)}"'
