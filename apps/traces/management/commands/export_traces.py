"""`manage.py export_traces --out FILE.db`: episodes as a tracing v3 file, streaming."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import QuerySet

from apps.accounts.models import Project
from apps.accounts.queries import command_actor
from apps.traces.models import Episode
from apps.traces.queries import load_session
from engine.errors import EngineError
from engine.traces.v3 import TraceDb


class Command(BaseCommand):
    help = (
        "Write episodes as sessions of a tracing v3 file, which synth-ai's scripts read. Imported "
        "ones get back the very rows that they came from. Exit code 1 when there are none."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--out", "--output", type=Path, required=True, metavar="FILE.db")
        parser.add_argument("--project", help="slug of the project (default: the first)")
        parser.add_argument("--run", type=int, action="append", default=[], help="of this run")
        parser.add_argument("--trace", type=int, action="append", default=[], help="this trace")
        parser.add_argument("--model", default="", help="of this model")
        parser.add_argument("--task", default="", help="of this task app")
        parser.add_argument("--min-unique", type=int, metavar="N", help="with N achievements")
        parser.add_argument("--limit", type=int, metavar="N", help="most episodes")
        parser.add_argument("--overwrite", action="store_true", help="replace FILE.db")
        parser.add_argument("--json", action="store_true", help="say what was done as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        target: Path = options["out"]
        if target.exists() and not options["overwrite"]:
            raise CommandError(f"{target} is there already; --overwrite replaces it.")
        try:
            rows = _episodes(_project(options["project"]), options)
            n_sessions = _write(target, rows, self.stderr.isatty())
        except EngineError as err:
            raise CommandError(f"{err.message} {err.hint}".strip()) from err
        except OSError as err:
            raise CommandError(f"{target}: {err.strerror or err}") from err
        if not n_sessions:
            raise CommandError("No episode matches: no file was written.")
        if options["json"]:
            self.stdout.write(json.dumps({"output": str(target), "sessions": n_sessions}))
        else:
            self.stdout.write(f"{n_sessions} sessions in {target}")


def _project(slug: str | None) -> Project:
    project = Project.objects.filter(slug=slug).first() if slug else command_actor().project
    if project is None:
        raise CommandError(f"There is no project {slug}.")
    return project


def _episodes(project: Project, options: dict[str, Any]) -> QuerySet[Episode]:
    rows = Episode.objects.filter(run__project=project).order_by("pk")
    wanted = {
        "run_id__in": options["run"],
        "pk__in": options["trace"],
        "model": options["model"],
        "task": options["task"],
    }
    rows = rows.filter(**{key: value for key, value in wanted.items() if value})
    if options["min_unique"] is not None:
        rows = rows.filter(n_achievements__gte=options["min_unique"])
    return rows[: options["limit"]]


def _write(target: Path, rows: QuerySet[Episode], on_terminal: bool) -> int:
    """Write beside the target and rename: an interrupted export leaves no half file."""
    staged = target.with_name(f".{target.name}.{os.getpid()}")
    n_sessions = 0
    try:
        with TraceDb(staged) as db:
            for episode in rows.iterator(chunk_size=50):
                db.write(load_session(episode))
                n_sessions += 1
                if on_terminal and n_sessions % 20 == 0:
                    sys.stderr.write(f"\r{n_sessions} sessions …")
        if n_sessions:
            staged.replace(target)
    finally:
        for end in ("", "-wal", "-shm"):
            staged.with_name(staged.name + end).unlink(missing_ok=True)
        if on_terminal:
            sys.stderr.write("\r\x1b[K")
    return n_sessions
