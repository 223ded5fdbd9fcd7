"""What a model sampled in one turn, token by token, with how sure it was of each."""

from __future__ import annotations

from itertools import zip_longest
from math import exp
from typing import NamedTuple

from engine.traces.record import Turn

LEVELS = (0.9, 0.5, 0.1, 0.01)  # a token of at least so much is of level 0, 1, 2, 3; else of 4


class SampledToken(NamedTuple):
    """`text`: its number where the trace does not say what it stands for. `probability`: 0–1, at
    the temperature of the game. `level`: 0 for sure … 4 for a surprise."""

    id: int
    text: str
    probability: float
    level: int


def sampled_tokens(turn: Turn) -> list[SampledToken]:
    """The tokens of an answer in order; empty where the policy gave no ids or no logprobs."""
    if len(turn.completion_ids) != len(turn.logprobs):
        return []
    known = len(turn.pieces) == len(turn.completion_ids)
    rows = zip_longest(turn.completion_ids, turn.logprobs, turn.pieces if known else [])
    return [
        _token(token, min(1.0, exp(logprob)), str(token) if piece is None else piece)
        for token, logprob, piece in rows
    ]


def _token(token: int, probability: float, text: str) -> SampledToken:
    level = sum(probability < bound for bound in LEVELS)
    return SampledToken(token, text, probability, level)
