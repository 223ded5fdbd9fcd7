"""`manage.py import_model PATH_OR_ID`: a model from outside becomes a base model of the project."""

from __future__ import annotations

import json
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.queries import command_actor
from apps.launch.services import request_model
from engine.errors import EngineError


class Command(BaseCommand):
    help = (
        "Import a Hugging Face model: an id of the hub, a folder with safetensors, or a GGUF file. "
        "A worker does it; the command follows until it is over. Exit code 0 only if it succeeded."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", metavar="PATH_OR_ID", help="Qwen/Qwen3-0.6B or a folder")
        parser.add_argument("--name", default="", help="the id in configs (default: as on the hub)")
        parser.add_argument("--revision", default="", help="branch, tag or commit of the hub")
        parser.add_argument("--detach", action="store_true", help="queue it and return")
        parser.add_argument("--json", action="store_true", help="events and the end as JSON lines")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            run = request_model(
                actor=command_actor(),
                source=options["source"],
                name=options["name"],
                revision=options["revision"],
                anywhere=True,
            )
        except EngineError as err:
            raise CommandError(f"{err.message} {err.hint}".strip()) from err
        if options["json"]:
            self.stdout.write(json.dumps({"run": run.pk, "model": run.model}))
        else:
            self.stdout.write(f"Run {run.pk} imports {run.model}.")
        if not options["detach"]:
            call_command(
                "run", run.pk, follow=True, json=options["json"],
                stdout=self.stdout, stderr=self.stderr,
            )  # fmt: skip
