"""What a handler gets to work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.runs.models import Attempt, Run, Shard
from engine.errors import StorageError
from engine.events import Event


@dataclass
class IngestContext:
    """One batch of one attempt, inside its transaction; the run's row is locked."""

    run: Run
    shard: Shard
    attempt: Attempt
    directory: Path  # of the attempt
    keys: dict[str, str] = field(default_factory=dict)  # sha256 -> storage key
    seqs: dict[int, int] = field(default_factory=dict)  # the attempt's seq -> run-wide seq
    notes: dict[int, dict[str, Any]] = field(default_factory=dict)  # the attempt's seq -> keys

    def store_file(self, file: Mapping[str, Any]) -> str:
        """The storage key of an announced file: it was stored before the transaction began.

        Raises StorageError for a file that no event of this batch announced.
        """
        try:
            return self.keys[file["sha256"]]
        except KeyError as err:
            raise StorageError(
                f"{file.get('path')}: this file was not announced in this batch.", retryable=False
            ) from err

    def note(self, event: Event, **data: Any) -> None:
        """Add keys to what the event's row shows: `ctx.note(event, episode_id=7)`."""
        self.notes.setdefault(event.seq, {}).update(data)


Handler = Callable[[IngestContext, list[Event]], None]
HANDLERS: dict[str, Handler] = {}
"""Event type -> handler of a room above; called once a batch, inside its transaction."""

CURVES: dict[str, Callable[[Run], tuple[int, dict[str, float]]]] = {}
"""Run kind -> (step, values) of the run's curves now, over all its shards; from a room above."""
