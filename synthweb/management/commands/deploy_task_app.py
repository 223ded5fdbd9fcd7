"""`manage.py deploy_task_app grpo-crafter --name NAME`: a bundle, checked, and deployed with Modal.

The Modal part has not been run against Modal yet: the bundle's own check is what is known to work.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from engine.errors import EngineError
from engine.tasks import canonical_name, get_face
from synthweb import env
from synthweb.bundle import BundleError, check_bundle, write_bundle

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Command(BaseCommand):
    help = (
        "Write a task app as a folder that stands by itself, start it and call it, and deploy it "
        "where the Modal client is installed and configured (not yet run on Modal)."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task", help="grpo-crafter, math-single-step, or another name of them")
        parser.add_argument("--name", required=True, help="what the deployment is called")
        parser.add_argument(
            "--out", type=Path, metavar="DIR",
            help="where the bundle goes (default: $SYNTHWEB_HOME/task_app/bundles/NAME)",
        )  # fmt: skip
        parser.add_argument(
            "--dry-run", action="store_true", help="write and check, deploy nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        if not NAME.fullmatch(name):
            raise CommandError(f"--name {name!r}: small letters, digits and hyphens, at most 63.")
        home = settings.SYNTHWEB_HOME / "task_app" / "bundles" / name
        folder = (options["out"] or home).absolute()
        try:
            task = canonical_name(options["task"])
            files = write_bundle(folder, task=task, name=name)
            self.stdout.write(f"{len(files)} files in {folder}")
            for line in check_bundle(folder, environment=get_face(task).environments[0]):
                self.stdout.write(f"  ok  {line}")
        except (BundleError, EngineError, OSError) as err:
            raise CommandError(str(err)) from err
        if options["dry_run"]:
            self.stdout.write("Nothing was deployed (--dry-run).")
            return
        missing = missing_for_modal()
        if missing:
            words = "\n  ".join(missing)
            raise CommandError(f"The bundle works and is not deployed:\n  {words}")
        done = subprocess.run(
            [sys.executable, "-m", "modal", "deploy", "modal_app.py"], cwd=folder, check=False
        )
        if done.returncode:
            raise CommandError(f"modal deploy ended with {done.returncode}.")


def missing_for_modal() -> list[str]:
    """What has to be there before Modal takes a bundle, in words."""
    missing = []
    if importlib.util.find_spec("modal") is None:
        missing.append("The Modal client is not installed: pip install modal")
    tokens = all(env.text(name) for name in ("MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"))
    if not tokens and not Path("~/.modal.toml").expanduser().exists():
        missing.append(
            "There are no Modal credentials: MODAL_TOKEN_ID and MODAL_TOKEN_SECRET, or "
            "~/.modal.toml as `modal setup` writes it"
        )
    return missing
