"""`manage.py loop [FILE]`: the whole loop against a running instance, through its API.

It starts the pipeline, follows it on the terminal and prints the table at the end. It reads only
the credentials file, never the database, so what it shows is what any program would see.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.launch.terminal import Screen, table_lines
from synthweb import credentials

POLL_S = 1.0
PATIENCE_S = 60.0  # how long the instance may be away (restarted, busy) before the loop gives up


class Command(BaseCommand):
    help = (
        "Run a pipeline on the running instance and follow it: evals, dataset, training, evals. "
        "Exit code 0 only if the table's proof row beats the baseline with its whole 95 % interval."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        default = str(settings.BASE_DIR / "configs" / "loop_small.toml")
        parser.add_argument("file", nargs="?", default=default, help="a pipeline's TOML")
        parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="sets")
        parser.add_argument("--url", default="", help="the instance; default: credentials.env")
        parser.add_argument("--json", action="store_true", help="the end as one JSON line")

    def handle(self, *args: Any, **options: Any) -> None:
        logging.getLogger("httpx").setLevel(logging.WARNING)  # a line a poll says nothing
        client = _client(options["url"])
        path = Path(options["file"])
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error}") from error
        body = {"toml": text, "name": path.name, "set": options["sets"]}
        made = _call(client, "POST", "/api/v1/runs", body)
        if "pipeline" not in made:
            raise CommandError(f"{path} is no pipeline: it became run {made['id']}.")
        page = f"{client.base_url}".rstrip("/") + f"/pipelines/{made['pipeline']}/"
        screen = Screen(sys.stderr if options["json"] else sys.stdout)
        screen.say(f"Pipeline {made['pipeline']} from {path.name}: {page}")
        detail = _follow(client, made["pipeline"], screen)
        if options["json"]:
            self.stdout.write(json.dumps(detail, ensure_ascii=False))
        else:
            self.stdout.write("\n" + "\n".join(table_lines(detail)))
        sys.exit(_exit_code(detail))


def _exit_code(detail: dict[str, Any]) -> int:
    """0: every stage succeeded, and the proof row, where there is a table, is better."""
    table = detail.get("table") or {}
    proven = not table or table.get("better") is True
    return 0 if detail["state"] == "succeeded" and proven else 1


def _follow(client: httpx.Client, pipeline_id: int, screen: Screen) -> dict[str, Any]:
    """Show the stages until the pipeline is over; its last state."""
    while True:
        detail = _call(client, "GET", f"/api/v1/pipelines/{pipeline_id}")
        screen.show(detail)
        if detail["state"] != "running":
            return detail
        time.sleep(POLL_S)


def _client(url: str) -> httpx.Client:
    """A client with the key of credentials.env. Raises CommandError when there is none."""
    found = credentials.read(settings.SYNTHWEB_HOME)
    if not found.get("SYNTH_API_KEY"):
        path = credentials.path_in(settings.SYNTHWEB_HOME)
        raise CommandError(f"There is no key in {path}: run `make up` first.")
    return httpx.Client(
        base_url=url or found["SYNTHWEB_URL"],
        headers={"Authorization": f"Bearer {found['SYNTH_API_KEY']}"},
        timeout=30,
        trust_env=False,
    )


def _call(
    client: httpx.Client, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """One call. A read is repeated while the instance is away; a refusal is told in its words."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            response = client.request(method, path, json=body)
        except httpx.TransportError as error:
            if method != "GET" or time.monotonic() > give_up:
                message = f"{client.base_url} does not answer ({error}). Is `make up` running?"
                raise CommandError(message) from error
            time.sleep(POLL_S)
            continue
        if response.status_code == 503 and time.monotonic() < give_up:
            time.sleep(POLL_S)
            continue
        if response.is_success:
            return dict(response.json())
        raise CommandError(_refusal(response))


def _refusal(response: httpx.Response) -> str:
    try:
        error = response.json()["error"]
        return f"{error['message']} {error.get('hint', '')}".strip()
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code}: {response.text[:300]}"
