"""`manage.py export_sft`: turns of stored games as a fine-tuning file, as `synth-ai` makes it."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.accounts.models import Project
from apps.accounts.queries import command_actor
from apps.datasets.records import FORMATS, dump_record, episode_records
from apps.datasets.selection import Narrower, read_filter, select_episodes
from apps.traces.models import Episode
from engine.config import DatasetFilter
from engine.errors import EngineError

# What the event rewards of `synth-ai` are here, summed over an episode.
REWARDS = {
    "sparse": "min_return",
    "achievement_delta": "min_unique",
    "unique_achievement_delta": "min_unique",
}


class Command(BaseCommand):
    help = "Write turns of stored games as JSONL for fine-tuning. Exit code 1 when nothing matches."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--output", "--out", required=True, help="the JSONL file to write")
        parser.add_argument("--project", help="slug of the project (default: the first)")
        parser.add_argument("--run", action="append", default=[], help="only games of this run")
        parser.add_argument("--task", default="crafter", help="only games of this task app")
        parser.add_argument("--model", default="", help="only games of this model")
        parser.add_argument("--provider", default="", help="only games over this provider")
        parser.add_argument("--min-unique", type=int, help="fewest different achievements")
        parser.add_argument("--max-unique", type=int, help="most different achievements")
        parser.add_argument("--require-achievement", action="append", default=[], metavar="NAME")
        parser.add_argument("--exclude-achievement", action="append", default=[], metavar="NAME")
        parser.add_argument("--min-outcome-reward", type=float, metavar="X")
        parser.add_argument("--max-outcome-reward", type=float, metavar="X")
        parser.add_argument(
            "--event-reward",
            action="append",
            default=[],
            metavar="TYPE[:MIN]",
            help=f"least sum of an event reward: {', '.join(REWARDS)}",
        )
        parser.add_argument("--limit", type=int, help="most records")
        parser.add_argument("--format", choices=sorted(FORMATS), default="synth")
        parser.add_argument("--json", action="store_true", help="say what was done as JSON")

    def handle(self, **options: Any) -> None:
        try:
            project = _project(options["project"])
            wanted = read_filter(_filter(options))
            also = Narrower(
                options["provider"], options["min_outcome_reward"], options["max_outcome_reward"]
            )
            ids = select_episodes(project=project, wanted=wanted, also=also)
            lines = _lines(sorted(ids), wanted, options["format"])
            n_records = _write(Path(options["output"]), islice(lines, options["limit"]))
        except EngineError as err:
            raise CommandError(f"{err.message} {err.hint}".strip()) from err
        if not n_records:
            raise CommandError("Nothing matches: no file was written.")
        if options["json"]:
            self.stdout.write(json.dumps({"output": options["output"], "n_records": n_records}))
        else:
            self.stdout.write(f"{n_records} records in {options['output']}")


def _project(slug: str | None) -> Project:
    project = Project.objects.filter(slug=slug).first() if slug else command_actor().project
    if project is None:
        raise CommandError(f"There is no project {slug}.")
    return project


def _filter(options: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "runs": options["run"],
        "task": options["task"],
        "model": options["model"],
        "min_unique": options["min_unique"],
        "max_unique": options["max_unique"],
        "require": options["require_achievement"],
        "exclude": options["exclude_achievement"],
    }
    for text in options["event_reward"]:
        kind, _, least = text.partition(":")
        if kind not in REWARDS:
            raise CommandError(f"--event-reward {kind}: known are {', '.join(REWARDS)}.")
        try:
            number = float(least or 1)
        except ValueError as err:
            raise CommandError(f"--event-reward {text}: {least!r} is no number.") from err
        key = REWARDS[kind]
        exact = number if key == "min_return" else int(-(-number // 1))
        values[key] = exact if values.get(key) is None else max(values[key], exact)
    return values


def _lines(ids: list[int], wanted: DatasetFilter, format: str) -> Iterator[bytes]:
    for pk in ids:
        for record in episode_records(Episode.objects.get(pk=pk), wanted):
            yield dump_record(FORMATS[format](record))


def _write(path: Path, lines: Iterator[bytes]) -> int:
    """Write beside the target and rename: an interrupted export leaves no half file."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    n_records = 0
    try:
        with staged.open("wb") as out:
            for line in lines:
                out.write(line)
                n_records += 1
        if n_records:
            staged.replace(path)
    except OSError as err:
        raise CommandError(f"{path}: {err.strerror or err}") from err
    finally:
        staged.unlink(missing_ok=True)
    return n_records
