"""`manage.py config_docs`: write docs/config.md from the sections; `--check` only compares."""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from engine.config import reference


class Command(BaseCommand):
    help = "Write docs/config.md, the list of every key, from the code that reads configs."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="exit 1 when the file is old")

    def handle(self, *args: Any, **options: Any) -> None:
        path = settings.BASE_DIR / "docs" / "config.md"
        text = reference()
        if options["check"]:
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                self.stderr.write(f"{path} is old: run `python manage.py config_docs`.")
                sys.exit(1)
            return
        path.write_text(text, encoding="utf-8")
        self.stdout.write(f"{path} written")
