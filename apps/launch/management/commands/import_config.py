"""`manage.py import_config FILE… [--launch] [--set K=V]…`: store configs, name every mistake."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.queries import Actor, command_actor
from apps.launch import services
from apps.runs.models import Config, Run
from engine.config import ConfigErrors, resolve
from engine.config.launch_plan import read_cluster
from engine.errors import EngineError


class Command(BaseCommand):
    help = (
        "Store configs. Prints the id of each, or the line and key of every mistake; "
        "with --launch it is queued too. Exit code 1 when a config is not valid."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE.toml", help="the configs")
        parser.add_argument("--launch", action="store_true", help="queue each one")
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="store nothing; show processes, commands and memory of a training, "
            "exit code 1 where it cannot fit",
        )
        parser.add_argument(
            "--gpus", help='with --dry-run: on these instead, such as 1, 8 or "2x8 H100"'
        )
        parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="sets")
        parser.add_argument("--json", action="store_true", help="one JSON line a config")

    def handle(self, *args: Any, **options: Any) -> None:
        actor = command_actor()
        failed = 0
        for file in options["files"]:
            try:
                answer = (
                    self._show(actor, Path(file), options["sets"], options["gpus"])
                    if options["dry_run"]
                    else self._take(actor, Path(file), options["sets"], options["launch"])
                )
                failed += bool(answer.get("refusals"))
            except EngineError as error:
                failed += 1
                answer = _error(file, error)
            if options["json"]:
                self.stdout.write(json.dumps(answer, ensure_ascii=False))
            else:
                self._tell(answer)
        if failed:
            sys.exit(1)

    def _show(self, actor: Actor, path: Path, sets: list[str], gpus: str | None) -> dict[str, Any]:
        """What launching would start, without storing anything."""
        folder = path.resolve().parent
        loaded = services.check_text(text=_read(path), name=path.name, sets=sets, folder=folder)
        frozen = resolve(loaded.config, services.this_machine())
        try:
            cluster = read_cluster(gpus) if gpus else None
        except ValueError as error:
            raise CommandError(str(error)) from error
        plan = services.show_launch(project=actor.project, loaded=loaded, cluster=cluster)
        return {
            "file": str(path),
            "kind": loaded.kind,
            "resolved": frozen.config,
            "effects": [effect.sentence() for effect in frozen.effects],
            "plan": plan.lines() if plan else [],
            "refusals": plan.refusals if plan else [],
        }

    def _take(self, actor: Actor, path: Path, sets: list[str], launch: bool) -> dict[str, Any]:
        text = _read(path)
        config = services.import_config(
            actor=actor, text=text, name=path.name, sets=sets, folder=path.resolve().parent
        )
        answer: dict[str, Any] = {"file": str(path), "config": config.pk, "kind": config.kind}
        answer["effects"] = _effects(config)
        if launch:
            made = services.launch(actor=actor, config=config)
            noun = "run" if isinstance(made, Run) else "pipeline"
            answer |= {noun: made.pk, "page": f"{settings.PUBLIC_URL}/{noun}s/{made.pk}/"}
            answer["warnings"] = list(made.warnings) if isinstance(made, Run) else []
        return answer

    def _tell(self, answer: dict[str, Any]) -> None:
        if "error" in answer:
            self.stderr.write(answer["error"]["message"])
            if answer["error"]["hint"]:
                self.stderr.write(f"  {answer['error']['hint']}")
            return
        if "plan" in answer:
            self.stdout.write(f"{answer['file']}: a config of kind {answer['kind']}, not stored")
            self.stdout.write(json.dumps(answer["resolved"], indent=2, ensure_ascii=False))
            for line in [*(f"note: {e}" for e in answer["effects"]), *answer["plan"]]:
                self.stdout.write(line)
            return
        self.stdout.write(f"Config {answer['config']} ({answer['kind']}) from {answer['file']}")
        for sentence in [*answer["effects"], *answer.get("warnings", [])]:
            self.stdout.write(f"  note: {sentence}")
        for noun in ("run", "pipeline"):
            if noun in answer:
                self.stdout.write(f"{noun.title()} {answer[noun]} queued: {answer['page']}")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error


def _effects(config: Config) -> list[str]:
    """What changes nothing on this machine, in sentences."""
    loaded = services.load_stored(config)
    frozen = resolve(loaded.config, services.this_machine())
    return [effect.sentence() for effect in frozen.effects]


def _error(file: str, error: EngineError) -> dict[str, Any]:
    mistakes = error.mistakes if isinstance(error, ConfigErrors) else []
    return {
        "file": file,
        "error": {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "mistakes": [mistake.to_json() for mistake in mistakes],
        },
    }
