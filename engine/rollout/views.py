"""Live views of the games that are being played, thinned to a few emissions a second.

Lives here: collecting views and handing them on. Not here: what a view holds (the task says).
At most four emissions a second a shard, whatever the speed of the games: what came in between is
sent together, of a very fast game only the newest. An episode that has ended is not sent any more,
its stored trace has every view.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine.events import ViewData
from engine.traces.record import EpisodeKey, Step, Turn

INTERVAL_S = 0.25
MAX_VIEWS = 40  # of one episode in one emission
MAX_TURNS = 20


@dataclass(slots=True)
class _Pending:
    """What one running episode has shown since the last emission."""

    next_step: int = 0  # index behind the last view seen; view 0 is the fresh world
    views: list[bytes] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    unlocks: list[list[object]] = field(default_factory=list)
    n_turns: int = 0
    call: str = ""
    turns: list[list[object]] = field(default_factory=list)


class LiveViews:
    """A `Watcher` that emits ViewData. Used by one event loop; call `run` beside the games.

    Views are counted with the fresh world as number 0, so view n is the picture after n steps.
    """

    def __init__(self, emit: Callable[[ViewData], None], model: str) -> None:
        self._emit = emit
        self._model = model
        self._pending: dict[EpisodeKey, _Pending] = {}

    def begin(self, key: EpisodeKey, view: bytes, opening: Sequence[Step]) -> None:
        """A new episode with its fresh world, or a branch where it leaves its `opening`."""
        unlocks: list[list[object]] = [
            [name, index] for index, step in enumerate(opening, start=1) for name in step.unlocked
        ]
        self._pending[key] = _Pending(len(opening) + 1, [view], [0.0], unlocks)

    def turn(self, key: EpisodeKey, turn: Turn, steps: Sequence[Step]) -> None:
        """What one turn did; a failed call shows its reason."""
        pending = self._pending[key]
        first = pending.next_step
        for step in steps:
            pending.unlocks.extend([name, pending.next_step] for name in step.unlocked)
            pending.views.append(step.view)
            pending.rewards.append(step.reward)
            pending.next_step += 1
        pending.n_turns = turn.index + 1
        pending.call = ", ".join(turn.actions) if not turn.error_code else f"({turn.error_code})"
        pending.turns.append([turn.index, pending.call, first, len(steps)])
        del pending.views[:-MAX_VIEWS], pending.rewards[:-MAX_VIEWS], pending.turns[:-MAX_TURNS]

    def end(self, key: EpisodeKey) -> None:
        """The episode is over; what was not sent yet stays unsent."""
        self._pending.pop(key, None)

    async def run(self) -> None:
        """Emit for ever; cancel it when the games are over."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            self.flush()

    def flush(self) -> None:
        """Emit what is new in every running episode."""
        for key, pending in self._pending.items():
            if not pending.views and not pending.turns:
                continue
            data: ViewData = {
                "key": list(key),
                "seed": key.seed,
                "model": self._model,
                "first_step": pending.next_step - len(pending.views),
                "views": [base64.b64encode(view).decode() for view in pending.views],
                "rewards": pending.rewards,
                "unlocks": pending.unlocks,
                "n_turns": pending.n_turns,
                "call": pending.call,
                "turns": pending.turns,
            }
            self._emit(data)
            self._pending[key] = _Pending(
                next_step=pending.next_step, n_turns=pending.n_turns, call=pending.call
            )
