"""What was said in a game, a page of turns at a time: of a long game only one is shown at first."""

from __future__ import annotations

import base64
from typing import NamedTuple

from apps.traces.models import Episode
from apps.traces.queries.payload import load_payload
from engine.traces.pieces import TurnsPart, read_moment, read_turn_page
from engine.traces.record import Turn

TURNS_A_PAGE = 50


class TurnPage(NamedTuple):
    """Turns `first` to `last`, both included. `turns`: empty where they are not loaded."""

    first: int
    last: int
    turns: list[Turn]


class Transcript(NamedTuple):
    """All pages of a game's turns, one of them loaded; the step beside it and its view (base64)."""

    n_turns: int
    pages: list[TurnPage]
    step: int
    view: str


def load_transcript(
    episode: Episode, *, step: int | None = None, turn: int | None = None
) -> Transcript:
    """The page that holds the turn which made `step`; without a step, the one that holds `turn`.

    The step of the answer is the one asked for, within the game, or the first of that page.
    """
    data = load_payload(episode)
    if step is None and turn is not None:
        part = read_turn_page(data, turn, TURNS_A_PAGE)
        step = part.turns[0].first_step + 1 if part.first else 0
        moment = read_moment(data, step)
    else:
        moment = read_moment(data, step or 0)
        part = read_turn_page(data, moment.turn, TURNS_A_PAGE)
    at = max(0, min(step or 0, episode.n_steps))
    return Transcript(part.n_turns, _pages(part), at, base64.b64encode(moment.view).decode())


def load_turn_page(episode: Episode, turn: int) -> TurnPage:
    """The page that holds `turn`; the last one for a turn beyond the end."""
    part = read_turn_page(load_payload(episode), turn, TURNS_A_PAGE)
    return TurnPage(part.first, part.first + len(part.turns) - 1, part.turns)


def _pages(part: TurnsPart) -> list[TurnPage]:
    return [
        TurnPage(
            first,
            min(first + TURNS_A_PAGE, part.n_turns) - 1,
            part.turns if first == part.first else [],
        )
        for first in range(0, part.n_turns, TURNS_A_PAGE)
    ]
