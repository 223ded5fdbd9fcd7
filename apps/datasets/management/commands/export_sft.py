"""`manage.py export_sft`: records as `synth-ai` exports them, of a trace file or of our games.

With `--db` a tracing v3 file is read, without it the stored games of a project. The flags of the
example's `export_trace_sft.py` mean the same here and come first; below them stand our own.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.accounts.models import Project
from apps.accounts.queries import command_actor
from apps.datasets.records import FORMATS
from apps.datasets.sessions import project_lines
from engine.errors import EngineError
from engine.traces.v3.choosing import SftFilter, read_event_rewards
from engine.traces.v3.sft_file import file_records

_SHOW_EVERY = 1000
_BUFFER_BYTES = 128 * 1024


class Command(BaseCommand):
    help = (
        "Write model calls as JSONL for fine-tuning, from a tracing v3 file (--db) or from stored "
        "games. Exit code 1 when nothing matches."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--db", "--in", dest="db", type=Path, help="a tracing v3 file; without: our own games"
        )
        parser.add_argument(
            "--output", "--out", dest="output", type=Path, required=True, help="the JSONL to write"
        )
        _add_filters_of_the_example(parser)
        _add_own_filters(parser)
        own = parser.add_argument_group("for our own games (without --db)")
        own.add_argument("--project", help="slug of the project (default: the first)")
        own.add_argument("--run", action="append", default=[], help="only games of this run")
        own.add_argument("--task", help="only games of this task app")
        own.add_argument("--format", choices=sorted(FORMATS), default="synth")
        parser.add_argument("--json", action="store_true", help="say what was done as JSON")

    def handle(self, **options: Any) -> None:
        try:
            wanted = _filter(options)
            lines = _lines(options, wanted)
            shown = _progress(islice(lines, options["limit"]), self.stderr.isatty())
            n_records = _write(options["output"], shown)
        except EngineError as err:
            raise CommandError(f"{err.message} {err.hint}".strip()) from err
        except ValueError as err:
            raise CommandError(f"--event-reward {err}.") from err
        if not n_records:
            raise CommandError("Nothing matches the filters: no file was written.")
        if options["json"]:
            said = {"output": str(options["output"]), "n_records": n_records}
            self.stdout.write(json.dumps(said))
        else:
            self.stdout.write(f"{n_records} records in {options['output']}")


def _add_filters_of_the_example(parser: ArgumentParser) -> None:
    add = parser.add_argument
    repeated: dict[str, Any] = {"action": "append", "default": []}
    add("--model", **repeated, metavar="ID", help="sessions that used this model most; its calls")
    add("--provider", **repeated, metavar="NAME", help="sessions that used this provider most")
    add("--min-unique", type=int, metavar="N", help="fewest different achievements of a session")
    add("--max-unique", type=int, metavar="N", help="most different achievements of a session")
    add("--exclude-achievement", **repeated, metavar="NAME",
        help="does not count for --min-unique and --max-unique")  # fmt: skip
    add("--require-achievement", **repeated, metavar="NAME", help="must be achieved in the end")
    add("--min-outcome-reward", type=float, metavar="X", help="least outcome reward")
    add("--max-outcome-reward", type=float, metavar="X", help="greatest outcome reward")
    add("--event-reward", **repeated, metavar="TYPE[:MIN]",
        help="least sum of a type of event reward: sparse, achievement_delta, …")  # fmt: skip
    add("--limit", type=int, metavar="N", help="most records")


def _add_own_filters(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--turns-before-unlock", type=int, metavar="N",
        help="only the N turns up to each one that unlocked something")  # fmt: skip
    add("--dedupe", action="store_true", help="each conversation once")
    add("--max-per-achievement", type=int, metavar="N",
        help="at most N records that led to the same achievement")  # fmt: skip
    add("--drop-failed-calls", action="store_true", help="no turn whose tool call failed")
    add("--split", choices=("all", "train", "validation"), default="all",
        help="only worlds of this side; all games of a seed are on one side")  # fmt: skip
    add("--validation-share", type=float, default=0.1, metavar="X",
        help="how much of all worlds is validation (default 0.1)")  # fmt: skip


def _filter(options: dict[str, Any]) -> SftFilter:
    return SftFilter(
        models=frozenset(options["model"]),
        providers=frozenset(options["provider"]),
        min_unique=options["min_unique"],
        max_unique=options["max_unique"],
        ignore=frozenset(options["exclude_achievement"]),
        require=frozenset(options["require_achievement"]),
        min_outcome=options["min_outcome_reward"],
        max_outcome=options["max_outcome_reward"],
        event_rewards=read_event_rewards(options["event_reward"]),
        turns_before_unlock=options["turns_before_unlock"],
        drop_failed_calls=options["drop_failed_calls"],
        dedupe=options["dedupe"],
        max_per_achievement=options["max_per_achievement"],
        split=options["split"],
        validation_share=options["validation_share"],
    )


def _lines(options: dict[str, Any], wanted: SftFilter) -> Iterator[bytes]:
    if options["db"]:
        if options["run"] or options["task"] or options["format"] != "synth":
            raise CommandError("--run, --task and --format are for our own games, without --db.")
        return (record.line for record in file_records(options["db"], wanted))
    return project_lines(
        project=_project(options["project"]),
        wanted=wanted,
        runs=options["run"],
        task=options["task"] or "",
        format=options["format"],
    )


def _project(slug: str | None) -> Project:
    project = Project.objects.filter(slug=slug).first() if slug else command_actor().project
    if project is None:
        raise CommandError(f"There is no project {slug}.")
    return project


def _progress(lines: Iterable[bytes], on_terminal: bool) -> Iterator[bytes]:
    for number, line in enumerate(lines, 1):
        if on_terminal and number % _SHOW_EVERY == 0:
            sys.stderr.write(f"\r{number} records …")
            sys.stderr.flush()
        yield line
    if on_terminal:
        sys.stderr.write("\r\x1b[K")


def _write(path: Path, lines: Iterator[bytes]) -> int:
    """Write beside the target and rename: an interrupted export leaves no half file."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    n_records = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with staged.open("wb", buffering=_BUFFER_BYTES) as out:
            for line in lines:
                out.write(line)
                n_records += 1
        if n_records:
            staged.replace(path)
    except OSError as err:
        raise CommandError(f"{path}: {err.strerror or err}") from err
    finally:
        with contextlib.suppress(OSError):
            staged.unlink(missing_ok=True)
    return n_records
