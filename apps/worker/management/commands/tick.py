"""`manage.py tick [--loop]`: requeue what lost its worker, ring for what waits, and more."""

from __future__ import annotations

import json as jsonlib
import logging
import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, InterfaceError, connection

from apps.runs.services import TICKER, take_turn
from apps.worker.tick import LONG, Beside, tick

log = logging.getLogger(__name__)
STOP_S = 4.0  # of the seconds that the supervisor gives


class Command(BaseCommand):
    """One tick, or one every few seconds until SIGTERM or Ctrl-C."""

    help = __doc__
    requires_system_checks = ()  # pages are not its business

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--loop", action="store_true", help="go on until SIGTERM or Ctrl-C")
        parser.add_argument("--json", action="store_true", help="print one JSON object a tick")

    def handle(self, *args: Any, loop: bool, json: bool, **options: Any) -> None:
        if not loop:
            done = tick()
            self._show(done, json)
            raise SystemExit(1 if -1 in done.values() else 0)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        long = [Beside(name) for name in LONG]
        while not stop.wait(settings.TICK_SECONDS):
            done = self._tick_in_turn(long)
            if done and any(done.values()):
                self._show(done, json)
        for step in long:
            step.wait(STOP_S / len(long))

    def _tick_in_turn(self, long: list[Beside]) -> dict[str, int]:
        """A tick, unless another ticker just did it or the database is away."""
        try:
            if not take_turn(TICKER, every_s=settings.TICK_SECONDS):
                return {}
            for step in long:
                step.start()
            return tick(without=LONG)
        except (DatabaseError, InterfaceError) as err:
            log.warning("tick: waiting for the database: %s", err)
            connection.close()
            return {}

    def _show(self, done: dict[str, int], as_json: bool) -> None:
        words = " ".join(f"{name}={n}" for name, n in done.items() if n) or "nothing to do"
        self.stdout.write(jsonlib.dumps(done) if as_json else words)
