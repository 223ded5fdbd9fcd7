"""`manage.py doctor`: what is wrong with this machine and how to mend it."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from synthweb.doctor import CHECKS, Finding, examine

MARKS = {"ok": "  ok    ", "note": "  note  ", "problem": "PROBLEM "}


class Command(BaseCommand):
    help = "Say what is wrong with this machine and how to mend it. Exit code 1 for a problem."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON document for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = examine(CHECKS)
        n_problems = sum(finding.level == "problem" for finding in findings)
        if options["json"]:
            rows = [finding._asdict() for finding in findings]
            self.stdout.write(json.dumps({"ok": n_problems == 0, "findings": rows}, indent=2))
        else:
            self.stdout.write("\n".join(_line(finding) for finding in findings))
            self.stdout.write(
                f"\n{n_problems} to mend." if n_problems else "\nNothing stands in the way."
            )
        if n_problems:
            sys.exit(1)


def _line(finding: Finding) -> str:
    line = f"{MARKS[finding.level]} {finding.check}: {finding.found}"
    return f"{line}\n          → {finding.mend}" if finding.mend else line
