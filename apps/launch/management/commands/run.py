"""`manage.py run ID [--follow]`: how a run is doing; with --follow until it is over."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.accounts.queries import command_actor
from apps.runs.models import Run, RunState
from apps.runs.queries import find_run, list_events
from engine.errors import EngineError
from engine.rollout.scores import main_score

POLL_S = 0.5
_OVER = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


class Command(BaseCommand):
    help = "Show a run; with --follow its log until it is over. Exit code 0 only if it succeeded."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=int, help="the run's number")
        parser.add_argument("--follow", action="store_true", help="stay until it is over")
        parser.add_argument("--json", action="store_true", help="events and the end as JSON lines")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            run = find_run(project=command_actor().project, run_id=options["id"])
        except EngineError as error:
            self.stderr.write(error.message)
            sys.exit(1)
        after = self._events(run, 0, options["json"]) if options["follow"] else 0
        while options["follow"] and run.state not in _OVER:
            time.sleep(POLL_S)
            run.refresh_from_db()
            after = self._events(run, after, options["json"])
        self._end(run, options["json"])
        if run.state in (RunState.FAILED, RunState.CANCELLED):
            sys.exit(1)

    def _events(self, run: Run, after: int, as_json: bool) -> int:
        """Print what happened behind `after`; the seq of the last event."""
        for event in list_events(run=run, after=after, types=["log", "state", "progress"]):
            after = event.seq
            if as_json:
                self.stdout.write(json.dumps(event._asdict(), default=str, ensure_ascii=False))
            else:
                self.stdout.write(f"{event.at:%H:%M:%S} {_words(event.type, event.data)}")
        return after

    def _end(self, run: Run, as_json: bool) -> None:
        if as_json:
            end = {"run": run.pk, "state": run.state, "result": run.result, "error": run.error}
            self.stdout.write(json.dumps(end, ensure_ascii=False))
            return
        done = f"{run.progress_done}/{run.progress_total} {run.progress_unit}"
        self.stdout.write(f"Run {run.pk} ({run.kind}, {run.model}): {run.state}, {done}")
        score = main_score(run.result)
        if score:
            interval = f"{score.low:.2f} to {score.high:.2f}"
            words = {"achievements": "achievements a game", "accuracy": "of the problems solved"}
            self.stdout.write(
                f"  {score.mean:.2f} {words[score.name]} (95 %: {interval}, n = {score.n})"
            )
        if run.error:
            self.stderr.write(f"  {run.error['message']} {run.error.get('hint', '')}".rstrip())


def _words(type_: str, data: dict[str, Any]) -> str:
    if type_ == "progress":
        return f"{data['done']}/{data['total']} {data['unit']}"
    return str(data.get("message") or data.get("state") or data)
