"""`manage.py create_api_key NAME`: a key for a machine, printed once."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.timezone import now

from apps.accounts.models import Project, User
from apps.accounts.queries import SCOPES, command_actor
from apps.accounts.services import create_api_key
from engine.errors import EngineError


class Command(BaseCommand):
    help = "Make an API key and print it; it is stored nowhere in clear, so keep it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="what the key is for: shown in Settings")
        parser.add_argument(
            "--scope", action="append", choices=SCOPES, help="may be repeated; default: read, write"
        )
        parser.add_argument("--user", help="whose key; default: the first operator")
        parser.add_argument("--project", help="slug of the project; default: the first")
        parser.add_argument("--days", type=int, help="after how many days it expires")
        parser.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            actor = command_actor(self._project(options["project"]))
            user = self._user(options["user"]) or actor.user
            days = options["days"]
            made = create_api_key(
                project=actor.project,
                user=user,
                name=options["name"],
                scopes=options["scope"] or ["read", "write"],
                expires_at=now() + timedelta(days=days) if days is not None else None,
                actor=actor,
            )
        except EngineError as error:
            self.stderr.write(f"{error.message} {error.hint}".strip())
            sys.exit(1)
        if options["json"]:
            self.stdout.write(json.dumps({"id": made.key.pk, "key": made.clear}))
        else:
            self.stdout.write(made.clear)

    def _project(self, slug: str | None) -> Project | None:
        found = Project.objects.filter(slug=slug).first() if slug else None
        if slug and found is None:
            known = ", ".join(Project.objects.values_list("slug", flat=True))
            self.stderr.write(f"There is no project {slug!r}; there are: {known}.")
            sys.exit(1)
        return found

    def _user(self, name: str | None) -> User | None:
        found = User.objects.filter(username=name).first() if name else None
        if name and found is None:
            self.stderr.write(f"There is no user {name!r}.")
            sys.exit(1)
        return found
