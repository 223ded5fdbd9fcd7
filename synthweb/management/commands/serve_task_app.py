"""`manage.py serve_task_app grpo-crafter --port 8001`: a task app by itself, in the foreground.

The same application as under `make up` and in a deployment bundle (`engine/http`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from engine.errors import EngineError
from synthweb.env import read_env_file


class Command(BaseCommand):
    help = (
        "Serve a task app until Ctrl-C. Its key is ENVIRONMENT_API_KEY (of --env-file, of the "
        "environment, else this instance's); with --trace what is played is kept."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="grpo-crafter, math-single-step, or another name of them")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8001)
        parser.add_argument(
            "--trace", nargs="?", const="", metavar="FOLDER",
            help="keep what is played, in FOLDER/traces.db (default: $SYNTHWEB_HOME/task_app)",
        )  # fmt: skip
        parser.add_argument("--trace-db", type=Path, metavar="FILE", help="the tracing v3 file")
        parser.add_argument(
            "--env-file", action="append", default=[], type=Path, metavar="FILE",
            help="KEY=VALUE lines; they win over the environment",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        from engine.http.__main__ import listen, serve
        from engine.http.app import make_app
        from engine.http.settings import read_settings

        host, port = options["host"], options["port"]
        try:
            environment = _environment(options["env_file"], host, port)
            trace_db = _trace_db(options["trace"], options["trace_db"])
            made = read_settings(environment, tasks=[options["name"]], trace_db=trace_db)
            app, listener = make_app(made), listen(host, port)
        except EngineError as err:
            raise CommandError(f"{err.message} {err.hint}".strip()) from err
        except OSError as err:
            raise CommandError(f"{host}:{port} cannot be served: {err}") from err
        url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104
        self.stdout.write(f"{options['name']} is served at {url}")
        self.stdout.write(f"  traces    {trace_db or 'are not kept: --trace keeps them'}")
        self.stdout.write(f'  try it    curl -H "X-API-Key: $ENVIRONMENT_API_KEY" {url}/health')
        self.stdout.write("Ctrl-C stops it.")
        self.stdout.flush()
        serve(app, listener)


def _environment(files: list[Path], host: str, port: int) -> dict[str, str]:
    """What the task app is told. Raises CommandError for a file that cannot be read."""
    found = dict(os.environ)
    found.setdefault("SYNTHWEB_HOME", str(settings.SYNTHWEB_HOME))
    for file in files:
        try:
            found |= read_env_file(file)
        except (OSError, ValueError) as err:
            raise CommandError(f"--env-file {file}: {err}") from err
    if not found.get("ENVIRONMENT_API_KEY"):
        found["ENVIRONMENT_API_KEY"] = settings.ENVIRONMENT_API_KEY
    own = [f"http://{name}:{port}" for name in {host, "127.0.0.1", "localhost"} - {"0.0.0.0", "::"}]  # noqa: S104
    own += [item for item in found.get("TASK_APP_OWN_URLS", "").split(",") if item]
    found["TASK_APP_OWN_URLS"] = ",".join(own)
    return found


def _trace_db(trace: str | None, trace_db: Path | None) -> Path | None:
    if trace_db is not None:
        return trace_db
    if trace is None:
        return None
    return Path(trace) / "traces.db" if trace else settings.TASK_APP_TRACES
