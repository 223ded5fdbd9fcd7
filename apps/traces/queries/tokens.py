"""What a model sampled in one turn, token by token: how sure it was, and what a loss counts."""

from __future__ import annotations

from itertools import zip_longest
from math import exp
from typing import NamedTuple

from apps.traces.models import Episode
from engine.traces.curation import left_out
from engine.traces.record import Turn

LEVELS = (0.9, 0.5, 0.1, 0.01)  # a token of at least so much is of level 0, 1, 2, 3; else of 4


class SampledToken(NamedTuple):
    """`text`: its number where the trace does not say what it stands for. `probability`: 0–1, at
    the temperature of the game. `level`: 0 for sure … 4 for a surprise."""

    id: int
    text: str
    probability: float
    level: int


class LossMask(NamedTuple):
    """What an RL training counts of a turn: nothing of the prompt; of the answer all or nothing.

    `left_out`: why the answer counts nothing either, in words; "" where the loss counts it.
    """

    n_prompt: int
    n_sampled: int
    left_out: str


def loss_mask(episode: Episode, turn: Turn) -> LossMask | None:
    """The mask of a turn; None where nothing is trained on it: no RL run, or no ids kept.

    That its group taught nothing (no game better than another) is not in it.
    """
    if episode.run.kind != "rl" or not turn.completion_ids:
        return None
    masks = episode.run.resolved.get("loss", {}).get("mask_truncated", True)
    why = left_out(episode.ended, turn.finish_reason) if masks else ""
    return LossMask(len(turn.prompt_ids), len(turn.completion_ids), why)


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
