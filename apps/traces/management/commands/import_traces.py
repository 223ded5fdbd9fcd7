"""`manage.py import_traces FILE.db`: sessions of tracing v3 become episodes of a project."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.models import Project
from apps.accounts.queries import command_actor
from apps.accounts.services import record
from apps.traces.importing import ImportResult, import_file
from engine.errors import EngineError


class Command(BaseCommand):
    help = (
        "Import the sessions of a tracing v3 file. The whole file is checked first; what the "
        "project has already is left out."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE.db")
        parser.add_argument("--project", help="slug of the project (default: the first)")
        parser.add_argument("--name", default="", help="what the run is called (default: the file)")
        parser.add_argument("--json", action="store_true", help="say what was done as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            actor = command_actor(_project(options["project"]))
            done = import_file(
                project=actor.project,
                user=actor.user,
                path=options["file"],
                name=options["name"],
                tell=_Progress(self) if self.stderr.isatty() else None,
            )
        except EngineError as err:
            raise CommandError(f"{err.message} {err.hint}".strip()) from err
        if done.run is not None:
            record(actor=actor, verb="traces.imported", target=f"run:{done.run.pk}")
        self.stdout.write(json.dumps(_values(done)) if options["json"] else _words(done))


class _Progress:
    """One line on the terminal, drawn over at most ten times a second."""

    def __init__(self, command: BaseCommand) -> None:
        self._out, self._next = command.stderr, 0.0

    def __call__(self, words: str, done: int, total: int) -> None:
        if time.monotonic() >= self._next or done == total:
            self._next = time.monotonic() + 0.1
            self._out.write(f"\r{done} of {total} sessions {words}", ending="")
            self._out.flush()
            if done == total:
                self._out.write("")


def _project(slug: str | None) -> Project | None:
    found = Project.objects.filter(slug=slug).first() if slug else None
    if slug and found is None:
        known = ", ".join(Project.objects.values_list("slug", flat=True))
        raise CommandError(f"There is no project {slug!r}; there are: {known}.")
    return found


def _values(done: ImportResult) -> dict[str, Any]:
    return {
        "run": done.run.pk if done.run else None,
        "sessions": done.n_sessions,
        "imported": done.n_imported,
        "verified": done.n_verified,
    }


def _words(done: ImportResult) -> str:
    if done.run is None:
        return f"Nothing new: the project has all {done.n_sessions} sessions of this file."
    known = done.n_sessions - done.n_imported
    left = f", {known} were there already" if known else ""
    return (
        f"{done.n_imported} sessions imported as run {done.run.pk}{left}; {done.n_verified} came "
        "out the same when played again."
    )
